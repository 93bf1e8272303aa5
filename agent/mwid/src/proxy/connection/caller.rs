//! The caller of one outbound connection. In: its stream, the access rules. Out: whether it may use the route, now and for as long as it is here.
//! Never looks at who it was at first alone: rules change, processes end and units are stopped.
use super::super::refusal::Refusal;
use super::super::route::Route;
use super::super::shares::Share;
use crate::caller::{Visitor, Watch, What};
use crate::http::Stream;
use crate::report::Causes;

pub(super) struct Caller {
    visitor: Visitor,
    watch: Watch,
    /// For as long as it is here.
    _share: Option<Share>,
}

impl Caller {
    /// Meets who connected. May look things up, as an attestation does.
    pub(super) fn meet(route: &Route, stream: &Stream) -> Result<Self, Refusal> {
        let (visitor, holder) = route.shared.access.meet(stream, "proxy");
        // Before the first decision, so that no change falls between.
        let watch = visitor.watch();
        decide(&visitor, route).map_err(Refusal::Caller)?;
        // After it: the rules that let it in may be those of a route to come.
        if route.is_retired() {
            return Err(Refusal::Over);
        }
        let share = holder.map(|holder| route.shares.take(holder)).transpose();
        let share = share.map_err(|full| {
            visitor.denied(What::Route { name: route.name() }, &full.to_string());
            Refusal::Share(full)
        })?;
        let caller = Self {
            visitor,
            watch,
            _share: share,
        };
        caller.visitor.granted(What::Route { name: route.name() });
        Ok(caller)
    }

    /// Whether it may use the route by the rules of now, after a look whether its process still is. The error is on record.
    pub(super) fn decide(&self, route: &Route) -> Result<(), String> {
        decide(&self.visitor, route)
    }

    /// Returns, with the reason, when it may not use the route any more.
    pub(super) async fn lost(&mut self, route: &Route) -> String {
        loop {
            self.watch.changed().await;
            if let Err(why) = self.decide(route) {
                return why;
            }
        }
    }
}

fn decide(visitor: &Visitor, route: &Route) -> Result<(), String> {
    let access = &route.shared.access;
    let granted = match visitor.grant_of_connection() {
        Err(denial) => Err(Causes(&*denial).to_string()),
        Ok(_) if !access.decides_routes() => Ok(()),
        Ok(grant) => grant
            .route_allowed(route.name())
            .map_err(|refusal| refusal.to_string()),
    };
    granted.inspect_err(|why| visitor.denied(What::Route { name: route.name() }, why))
}
