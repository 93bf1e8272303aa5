//! What subscribers are sent.
use super::*;
use crate::grpc::{Code, Dated, Status};
use crate::proto::workload::{X509BundlesResponse, X509svidResponse};
use crate::source::Minter;
use futures_util::StreamExt as _;
use prost::Message;

fn svid(dated: &Dated) -> X509svidResponse {
    X509svidResponse::decode(&dated.pieces.message()[..]).unwrap()
}

fn bundles(dated: &Dated) -> X509BundlesResponse {
    X509BundlesResponse::decode(&dated.pieces.message()[..]).unwrap()
}

fn leaf_of(answer: &X509svidResponse) -> &[u8] {
    &answer.svids[0].x509_svid
}

#[tokio::test(start_paused = true)]
async fn the_message_is_the_identity_with_each_domains_bundle_apart() {
    let mut house = House::new();
    let (other, nobody) = (World::new("other.example"), "nobody.example");
    let bundle = |name, roots| TrustBundle::from_roots(TrustDomain::parse(name).unwrap(), roots).unwrap();
    let others = [
        bundle("other.example", vec![other.root_der().to_vec().into()]),
        bundle(nobody, vec![]),
    ];
    let leaf = house.leaf(3600);
    let identity = house.proven(&leaf, &others);
    house.writer.publish(identity);
    house.settle().await;
    let caller = Caller::who_may(true);
    let mut stream = Box::pin(house.feed(&caller, SVID).begin().unwrap());
    let answer = svid(&stream.next().await.unwrap().unwrap());
    let [svid] = &answer.svids[..] else {
        panic!("{} SVIDs", answer.svids.len());
    };
    assert_eq!(svid.spiffe_id, format!("spiffe://{DOMAIN}/ns/shop/sa/pay"));
    assert!(svid.x509_svid.starts_with(&leaf.leaf_der));
    assert!(svid.x509_svid.ends_with(&house.world.intermediate.cert_der));
    assert_eq!(
        svid.x509_svid.len(),
        leaf.leaf_der.len() + house.world.intermediate.cert_der.len()
    );
    assert_eq!(svid.x509_svid_key, leaf.key_der);
    assert_eq!(svid.bundle, house.world.root_der());
    let federated: Vec<_> = answer.federated_bundles.into_iter().collect();
    let others = ("spiffe://other.example".to_owned(), other.root_der().to_vec());
    assert_eq!(
        federated,
        std::slice::from_ref(&others),
        "who trusts nobody is left out"
    );
    let mut stream = Box::pin(house.feed(&caller, BUNDLES).begin().unwrap());
    let all: Vec<_> = bundles(&stream.next().await.unwrap().unwrap())
        .bundles
        .into_iter()
        .collect();
    let own = (format!("spiffe://{DOMAIN}"), house.world.root_der().to_vec());
    assert_eq!(all, [others, own]);
    assert_eq!(
        caller.record(),
        ["granted X.509 identity", "granted trust bundles"]
    );
}

#[tokio::test(start_paused = true)]
async fn all_subscribers_share_one_frame_and_the_latest_wins() {
    let mut house = House::new();
    house.rotate(3600);
    house.settle().await;
    let caller = Caller::who_may(true);
    let mut streams: Vec<_> = (0..3)
        .map(|_| Box::pin(house.feed(&caller, SVID).begin().unwrap()))
        .collect();
    for stream in &mut streams {
        stream.next().await.unwrap().unwrap();
        assert!(at_hand(stream).is_none(), "each generation once");
    }
    house.rotate(3600);
    house.settle().await;
    let newest = house.rotate(3600);
    house.settle().await;
    let all: Vec<Dated> = streams.iter_mut().map(|s| at_hand(s).unwrap().unwrap()).collect();
    assert!(
        leaf_of(&svid(&all[0])).starts_with(&newest.leaf_der),
        "not the one between"
    );
    let bytes = |dated: &Dated| dated.pieces.all()[0].as_ptr();
    for dated in &all {
        assert!(bytes(dated) == bytes(&all[0]), "a copy for one subscriber");
    }
    assert!(streams.iter_mut().all(|stream| at_hand(stream).is_none()));
    assert_eq!(house.site.metrics.streams(), 3);
    drop(streams);
    assert_eq!(house.site.metrics.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn bundles_are_sent_again_only_when_they_change() {
    let mut house = House::new();
    house.rotate(3600);
    house.settle().await;
    let mut stream = Box::pin(house.feed(&Caller::who_may(true), BUNDLES).begin().unwrap());
    stream.next().await.unwrap().unwrap();
    house.rotate(3600);
    house.settle().await;
    assert!(at_hand(&mut stream).is_none());
    house.world = World::new(DOMAIN);
    house.rotate(3600);
    house.settle().await;
    let frame = at_hand(&mut stream).unwrap().unwrap();
    assert_eq!(
        bundles(&frame).bundles.into_values().collect::<Vec<_>>(),
        [house.world.root_der()]
    );
}

fn refused(house: &House, caller: &Caller, subject: &'static Subject) -> Status {
    house.feed(caller, subject).begin().err().unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_may_not_is_told_so_before_there_is_an_identity_and_who_may_is_told_to_ask_again() {
    let mut house = House::new();
    let (may, may_not) = (Caller::who_may(true), Caller::who_may(false));
    let issued = Status::new(Code::PERMISSION_DENIED, "no identity issued").taking_back();
    for subject in [SVID, BUNDLES] {
        assert_eq!(refused(&house, &may_not, subject), issued);
        assert_eq!(refused(&house, &may, subject).code, Code::UNAVAILABLE);
    }
    assert_eq!(
        may_not.record(),
        [
            "denied X.509 identity: no identity issued",
            "denied trust bundles: no identity issued"
        ]
    );
    assert_eq!(
        may.record(),
        [""; 0],
        "what may come yet is neither granted nor denied"
    );
    house.rotate(3600);
    house.settle().await;
    assert_eq!(refused(&house, &may_not, SVID), issued);
    assert!(house.feed(&may, SVID).begin().is_ok());
    house.writer.clear();
    house.wanted.send_replace(false);
    house.settle().await;
    assert_eq!(
        refused(&house, &may, SVID),
        issued,
        "where none is wanted none will come"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_the_identity_is_taken_from_its_caller_and_no_other_does() {
    let mut house = House::new();
    house.rotate(3600);
    house.settle().await;
    let callers = [Caller::who_may(true), Caller::who_may(true)];
    let mut streams = callers
        .each_ref()
        .map(|caller| Box::pin(house.feed(caller, SVID).begin().unwrap()));
    for stream in &mut streams {
        stream.next().await.unwrap().unwrap();
    }
    callers[0].may.send_replace(false);
    let end = streams[0].next().await.unwrap().unwrap_err();
    assert_eq!(
        end,
        Status::new(Code::PERMISSION_DENIED, "no identity issued").taking_back()
    );
    assert!(streams[0].next().await.is_none());
    assert!(at_hand(&mut streams[1]).is_none());
    assert_eq!(
        callers[0].record()[1],
        "denied X.509 identity: no identity issued"
    );
}

/// Of a client that does not read: its stream is not asked for another message, and so does not find out itself.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_client_ends_when_its_caller_may_not_have_it_any_more_and_not_before() {
    use crate::api::workload::revoked::revoked;
    use futures_util::FutureExt as _;
    let mut house = House::new();
    house.rotate(3600);
    house.settle().await;
    let caller = Caller::who_may(true);
    let connection = Arc::new(Connection::new(Arc::clone(&house.site), caller.clone()));
    let (mut one, mut other) = (revoked(&connection), revoked(&connection));
    house.rotate(3600);
    house.settle().await;
    assert_eq!((&mut one).now_or_never(), None, "a rotation");
    caller.may.send_replace(true);
    assert_eq!((&mut one).now_or_never(), None, "other rules that grant the same");
    house.writer.clear();
    house.settle().await;
    assert_eq!((&mut one).now_or_never(), None, "another one may come");
    caller.may.send_replace(false);
    let denied = Status::new(Code::PERMISSION_DENIED, "no identity issued").taking_back();
    assert_eq!((&mut one).now_or_never(), Some(denied.clone()));
    assert_eq!(caller.record(), ["denied X.509 identity: no identity issued"]);
    caller.may.send_replace(true);
    house.wanted.send_replace(false);
    house.settle().await;
    assert_eq!((&mut other).now_or_never(), Some(denied), "none will come");
    house.wanted.send_replace(true);
    house.settle().await;
    let last = revoked(&connection);
    assert!(house.shutdown.stop(Duration::from_secs(1)).await);
    assert_eq!(last.await.code, Code::UNAVAILABLE);
}

/// Of a client that has taken a part of a message.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_message_is_over_with_its_identity_and_a_while_after_there_is_a_newer_one() {
    use crate::api::workload::hub::Now;
    use crate::api::workload::revoked::over;
    use futures_util::FutureExt as _;
    use tokio::time::Instant;
    let mut house = House::new();
    let connection = Arc::new(Connection::new(Arc::clone(&house.site), Caller::who_may(true)));
    let of_newest = || {
        let Now::Alive(edition) = connection.site.hub.now() else {
            panic!("no identity");
        };
        let generation = edition.identity.generation();
        over(&connection, &edition.identity, move |newest| {
            newest.identity.generation() == generation
        })
    };
    let ends_after = async |over: crate::grpc::Revoked| {
        let began = Instant::now();
        assert_eq!(over.await.code, Code::UNAVAILABLE);
        began.elapsed().as_secs()
    };
    house.rotate(3600);
    house.settle().await;
    let mut first = of_newest();
    assert_eq!((&mut first).now_or_never(), None);
    house.rotate(3600);
    house.settle().await;
    assert_eq!((&mut first).now_or_never(), None, "it may take the rest");
    let mut second = of_newest();
    assert_eq!(ends_after(first).await, 10, "and not for ever");
    assert_eq!((&mut second).now_or_never(), None);
    // A wall clock that goes on: what expires before that ends then.
    house.rotate(3);
    house.settle().await;
    let soon = of_newest();
    house.rotate(3600);
    house.settle().await;
    assert_eq!(ends_after(soon).await, 4);
    // Two at once: what was between is not seen.
    let forbidden = of_newest();
    let leaf = house.world.leaf("/ns/bank/sa/ledger");
    let identity = house.proven(&leaf, &[]);
    house.writer.publish(identity);
    house.settle().await;
    assert_eq!(ends_after(forbidden).await, 0, "another name");
    let taken = of_newest();
    house.writer.clear();
    house.settle().await;
    assert_eq!(ends_after(taken).await, 0);
    house.rotate(3600);
    house.settle().await;
    let expired = of_newest();
    let later = house.now() + 3601;
    house.clock.0.store(later, Ordering::SeqCst);
    assert_eq!(ends_after(expired).await, 0);
}

/// Of a client that has taken a part of a message, which is the newest still.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_message_goes_on_while_new_generations_leave_it_as_it_is() {
    use futures_util::FutureExt as _;
    let mut house = House::new();
    let leaf = house.leaf(3600);
    let identity = house.proven(&leaf, &[]);
    let id = identity.id().clone();
    house.writer.publish(identity);
    house.settle().await;
    let caller = Caller::who_may(true);
    let connection = Arc::new(Connection::new(Arc::clone(&house.site), caller.clone()));
    let mut stream = Box::pin(house.feed(&caller, SVID).begin().unwrap());
    let mut svid = stream.next().await.unwrap().unwrap().over.unwrap();
    let mut own = Sds::once(&connection, &["default", "ROOTCA"]).over.unwrap();
    let mut roots = Sds::once(&connection, &["ROOTCA"]).over.unwrap();
    let mut look = || [&mut svid, &mut own, &mut roots].map(|over| over.now_or_never().map(|end| end.code));
    for _ in 0..2 {
        let with_key = house.proven_with(&leaf, &[], vec![Minter::of(&id).1]);
        house.writer.publish(with_key);
        house.settle().await;
        assert_eq!(look(), [None; 3]);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(look(), [None; 3], "only JWT keys differ");
    }
    house.rotate(3600);
    house.settle().await;
    assert_eq!(look(), [None; 3], "they may take the rest");
    tokio::time::advance(Duration::from_secs(11)).await;
    let over = Some(Code::UNAVAILABLE);
    assert_eq!(look(), [over, over, None], "the roots are the same");
}

#[tokio::test(start_paused = true)]
async fn streams_end_when_the_identity_is_taken_away_and_when_mwid_ends() {
    let mut house = House::new();
    house.rotate(3600);
    house.settle().await;
    let caller = Caller::who_may(true);
    let mut stream = Box::pin(house.feed(&caller, SVID).begin().unwrap());
    stream.next().await.unwrap().unwrap();
    house.writer.clear();
    assert_eq!(stream.next().await.unwrap().unwrap_err().code, Code::UNAVAILABLE);
    house.rotate(3600);
    house.settle().await;
    let mut stream = Box::pin(house.feed(&caller, SVID).begin().unwrap());
    stream.next().await.unwrap().unwrap();
    assert!(house.shutdown.stop(Duration::from_secs(1)).await);
    assert_eq!(stream.next().await.unwrap().unwrap_err().code, Code::UNAVAILABLE);
}
