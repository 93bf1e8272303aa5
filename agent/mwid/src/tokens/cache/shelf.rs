//! A bounded place for questions and their answers. In: questions. Out: their slots. Never larger than its bounds; who asks for many things
//! once does not push out what others use.
use super::held::Held;
use super::kept::Ask;
use super::slot::Slot;
use super::times::Moment;
use std::collections::HashMap;
use std::time::Duration;

/// The most that is kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::tokens) struct Bounds {
    pub(in crate::tokens) entries: usize,
    pub(in crate::tokens) bytes: usize,
}

/// What a slot weighs beside its question and its answer: both of their places, the map's, and the channel of a fetch.
const SLOT: usize = 512;

/// Room is made for so many at once, so that a flood does not sort everything for each of its questions.
const AT_ONCE: usize = 16;

pub(super) struct Shelf<A: Ask> {
    slots: HashMap<A, Slot<A::Answer>>,
    bytes: usize,
    bounds: Bounds,
    /// Of the questions for whose sake the source is asked unasked.
    pin_default: bool,
}

/// What a look at everything found.
pub(super) struct Sweep<A> {
    /// To be fetched now.
    pub(super) fetch: Vec<A>,
    /// When to look again, by the time since boot.
    pub(super) next: Option<Duration>,
}

impl<A: Ask> Shelf<A> {
    pub(super) fn new(bounds: Bounds, pin_default: bool) -> Self {
        Self {
            slots: HashMap::new(),
            bytes: 0,
            bounds,
            pin_default,
        }
    }

    pub(super) fn get(&self, ask: &A) -> Option<&Slot<A::Answer>> {
        self.slots.get(ask)
    }

    pub(super) fn get_mut(&mut self, ask: &A) -> Option<&mut Slot<A::Answer>> {
        self.slots.get_mut(ask)
    }

    /// The slot of a question, made if there is none. None: all that is here is being fetched, and there is no room for more. With it, how
    /// many were pushed out.
    pub(super) fn slot(&mut self, ask: &A) -> (Option<&mut Slot<A::Answer>>, u64) {
        let mut evicted = 0;
        if !self.slots.contains_key(ask) {
            let weight = SLOT + 2 * ask.weight();
            evicted = self.make_room(1, weight);
            if self.slots.len() >= self.bounds.entries || self.bytes + weight > self.bounds.bytes {
                return (None, evicted);
            }
            let mut slot = Slot::new(self.pin_default && ask.is_default());
            slot.weight = weight;
            self.bytes += weight;
            self.slots.insert(ask.clone(), slot);
        }
        (self.slots.get_mut(ask), evicted)
    }

    /// An answer has come or gone: counts it again, and makes room if it is too much. How many were pushed out.
    pub(super) fn weigh(&mut self, ask: &A) -> u64 {
        let Some(slot) = self.slots.get_mut(ask) else {
            return 0;
        };
        let weight = SLOT + 2 * ask.weight() + slot.value_weight();
        self.bytes = self.bytes - slot.weight + weight;
        slot.weight = weight;
        self.make_room(0, 0)
    }

    /// Lets go of all answers, and of why there is none. They are the caller's to drop.
    pub(super) fn forget(&mut self) -> Vec<Held<A::Answer>> {
        let mut forgotten = Vec::with_capacity(self.slots.len());
        for slot in self.slots.values_mut() {
            let weight = slot.value_weight();
            slot.weight -= weight;
            self.bytes -= weight;
            forgotten.extend(slot.forget());
        }
        forgotten
    }

    /// Looks at everything: what is to be fetched, and what can go.
    pub(super) fn sweep(&mut self, now: Moment) -> Sweep<A> {
        let mut sweep = Sweep {
            fetch: vec![],
            next: None,
        };
        let bytes = &mut self.bytes;
        self.slots.retain(|ask, slot| {
            let before = slot.value_weight();
            let fetch = slot.tick(now);
            let gone = before - slot.value_weight().min(before);
            slot.weight -= gone;
            *bytes -= gone;
            if fetch {
                sweep.fetch.push(ask.clone());
                return true;
            }
            if slot.is_spent(now) {
                *bytes -= slot.weight;
                return false;
            }
            sweep.next = sweep.next.into_iter().chain(slot.due(now)).min();
            true
        });
        sweep
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many have an answer that holds.
    pub(super) fn valid(&self, now: Moment) -> usize {
        let holds = |slot: &&Slot<A::Answer>| slot.held().is_some_and(|held| held.is_valid(now));
        self.slots.values().filter(holds).count()
    }

    /// Pushes out what is needed least until so much more fits.
    fn make_room(&mut self, entries: usize, bytes: usize) -> u64 {
        let fits = |len: usize, weight: usize, bounds: Bounds| {
            len + entries <= bounds.entries && weight + bytes <= bounds.bytes
        };
        if fits(self.slots.len(), self.bytes, self.bounds) {
            return 0;
        }
        let roomy = Bounds {
            entries: self.bounds.entries - self.bounds.entries / AT_ONCE,
            bytes: self.bounds.bytes - self.bounds.bytes / AT_ONCE,
        };
        let mut evicted = 0;
        for ask in self.by_need() {
            if fits(self.slots.len(), self.bytes, roomy) {
                break;
            }
            if let Some(slot) = self.slots.remove(&ask) {
                self.bytes -= slot.weight;
                evicted += 1;
            }
        }
        evicted
    }

    /// Everything that may go, what is needed least first: what has no answer, what was asked for once, and of what was asked for again (as
    /// far as it is not more than three quarters of the shelf) what was not asked for longest. Never the default, nor what is being fetched.
    fn by_need(&self) -> Vec<A> {
        let mut order: Vec<(u8, u64, &A)> = self
            .slots
            .iter()
            .filter(|(ask, slot)| !ask.is_default() && !slot.is_in_flight())
            .map(|(ask, slot)| {
                let class = match slot.held() {
                    None => 0,
                    Some(_) if !slot.is_used_again() => 1,
                    Some(_) => 2,
                };
                (class, slot.touched(), ask)
            })
            .collect();
        order.sort_unstable_by_key(|(class, touched, _)| (*class, *touched));
        let again = order.iter().filter(|(class, ..)| *class == 2).count();
        let too_many = again.saturating_sub(self.bounds.entries / 4 * 3);
        let first_again = order.len() - again;
        for (class, ..) in order.iter_mut().skip(first_again).take(too_many) {
            *class = 1;
        }
        order.sort_by_key(|(class, touched, _)| (*class, *touched));
        order.into_iter().map(|(.., ask)| ask.clone()).collect()
    }
}
