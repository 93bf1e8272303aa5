//! `accept_proxy`: whose PROXY headers are believed. In: as written. Out: nobody's, anybody's, or those of a list of networks.
use super::place::At;
use super::values;
use crate::config::error::Wrong;
use crate::config::raw;
use crate::config::{AcceptProxy, Address};

const MOST: usize = 64;

pub(super) fn settle(at: &At, raw: Option<raw::AcceptProxy>, listen: Option<&Address>) -> AcceptProxy {
    let keys = match raw {
        None | Some(raw::AcceptProxy::Word(false)) => return AcceptProxy::No,
        Some(raw::AcceptProxy::Word(true)) => return AcceptProxy::FromAnybody,
        Some(raw::AcceptProxy::Keys(keys)) => keys,
    };
    let at = at.key("accept_proxy");
    let texts = keys.from.unwrap_or_default();
    if texts.is_empty() || texts.len() > MOST {
        at.key("from").refuse(
            Wrong::new(
                &format!("{} networks", texts.len()),
                format!("1 to {MOST} of them, such as [\"35.191.0.0/16\", \"130.211.0.0/22\"]"),
            )
            .fix("name the load balancers' addresses; accept_proxy: true believes whoever connects"),
        );
    }
    if matches!(listen, Some(Address::Unix(_))) {
        at.key("from").refuse(
            Wrong::new("a key of no use, since `listen` is a Unix socket", "no such key")
                .fix("who connects there has no address: say accept_proxy: true, and let the directory's mode keep others out"),
        );
    }
    let networks = texts.iter().take(MOST).enumerate().filter_map(|(index, text)| {
        let network = values::network(&text.0);
        network
            .map_err(|wrong| at.key("from").item(index).refuse(wrong))
            .ok()
    });
    AcceptProxy::From(networks.collect())
}
