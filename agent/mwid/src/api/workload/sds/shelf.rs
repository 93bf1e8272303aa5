//! The secrets that streams share.
//!
//! In: the newest identity, the names in force, a form. Out: its secrets, one copy for all who ask. Never keeps what no stream holds: a key is
//! wiped when the last of them has another one or is gone.
use super::secrets::{Form, Secrets};
use crate::config::SdsSettings;
use mtls_identity::IdentitySnapshot;
use std::sync::{Arc, Mutex, PoisonError, Weak};

#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<[Weak<Secrets>; 2]>);

impl Shelf {
    pub(super) fn take(
        &self,
        identity: &Arc<IdentitySnapshot>,
        names: &Arc<SdsSettings>,
        form: Form,
    ) -> Arc<Secrets> {
        // Nothing in here panics half way.
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &mut places[usize::from(form == Form::Plain)];
        if let Some(secrets) = place.upgrade().filter(|secrets| secrets.are_of(identity, names)) {
            return secrets;
        }
        let secrets = Arc::new(Secrets::new(Arc::clone(identity), Arc::clone(names), form));
        *place = Arc::downgrade(&secrets);
        secrets
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::World;
    use super::*;

    #[test]
    fn all_streams_share_one_copy_and_the_last_one_takes_it_along() {
        let world = World::new();
        let (first, second) = (world.payments().identity, world.payments().identity);
        let names = Arc::default();
        let shelf = Shelf::default();
        let one = shelf.take(&first, &names, Form::Spiffe);
        assert!(Arc::ptr_eq(&one, &shelf.take(&first, &names, Form::Spiffe)));
        assert!(!Arc::ptr_eq(&one, &shelf.take(&first, &names, Form::Plain)));
        let two = shelf.take(&second, &names, Form::Spiffe);
        assert!(!Arc::ptr_eq(&one, &two));
        let renamed = Arc::new(SdsSettings {
            root: "roots".to_owned(),
            ..SdsSettings::default()
        });
        let three = shelf.take(&second, &renamed, Form::Spiffe);
        assert!(three.find("roots").is_ok() && two.find("roots").is_err());
        // The shelf itself holds nothing.
        let left = Arc::downgrade(&three);
        drop(three);
        assert!(left.upgrade().is_none());
    }
}
