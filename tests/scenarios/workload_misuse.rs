//! Clients that do not keep to the rules: each gets a clear answer, and the others what they came for.

use crate::daemon::{Daemon, Place};
use crate::spiffe::{
    HEADER, INTERNAL, INVALID_ARGUMENT, Next, Program, RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED,
    X509_SVID,
};
use crate::user::{as_user, can_be_others};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const ALICE: u32 = 45_011;
const BOB: u32 = 45_012;

fn socket(place: &Place) -> PathBuf {
    place.path("run/workload.sock")
}

fn started(place: &mut Place) -> Daemon {
    place.open_to_all();
    place.config("access: [{ who: { uid: 45011 }, may: { identity: true } }, { who: { uid: 45012 }, may: { identity: true } }]");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    daemon
}

#[test]
fn without_the_security_header_once_and_right_nothing_is_answered() {
    let mut place = Place::new();
    let daemon = started(&mut place);
    let program = Program::connect(&socket(&place));
    for headers in [
        &[][..],
        &[HEADER, HEADER],
        &[("workload.spiffe.io", "false")],
        &[("workload.spiffe.io", "True")],
        &[("workload.spiffe.io", "")],
        &[HEADER, ("workload.spiffe.io", "false")],
    ] {
        for method in [X509_SVID, "FetchJWTBundles", "FetchWITSVID", "NoSuchMethod"] {
            let mut call = program.call_with(method, headers, &[0; 5]).unwrap();
            let refused = Next::End(
                INVALID_ARGUMENT,
                "security header missing from request".to_owned(),
            );
            assert_eq!(call.next(), refused, "{method} {headers:?}");
        }
    }
    assert!(
        matches!(program.first(X509_SVID), Next::Message(_)),
        "the connection is none the worse"
    );
    daemon.stop();
}

/// Each is answered, and with the last one that is the user is told to ask on another stream; who asked has lost nothing but that.
#[test]
fn a_stream_of_questions_about_the_api_has_an_end() {
    const QUESTIONS: usize = 1024;
    let mut place = Place::new();
    let daemon = started(&mut place);
    let program = Program::connect(&socket(&place));
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // What services there are.
        let question = [0, 0, 0, 0, 2, 0x3a, 0];
        for asked in [QUESTIONS, QUESTIONS + 1, QUESTIONS + 200] {
            let mut call = program.call_at(&path, &[], &question.repeat(asked)).unwrap();
            for number in 0..QUESTIONS {
                let Next::Message(told) = call.next() else {
                    panic!("{version}: {number} of {asked}");
                };
                let told = String::from_utf8_lossy(&told);
                assert!(told.contains("SpiffeWorkloadAPI"), "{told}");
            }
            let Next::End(code, words) = call.next() else {
                panic!("{version}: one more of {asked}");
            };
            if asked == QUESTIONS {
                assert_eq!(code, 0, "{version}: {words}");
            } else {
                assert_eq!(code, RESOURCE_EXHAUSTED, "{version}: {asked}");
                assert!(words.contains("ask on another"), "{words}");
            }
        }
    }
    assert!(matches!(program.first(X509_SVID), Next::Message(_)));
    drop(program);
    daemon.stop();
}

#[test]
fn messages_that_are_none_are_refused_and_the_connection_goes_on() {
    let mut place = Place::new();
    let daemon = started(&mut place);
    let program = Program::connect(&socket(&place));
    let large = [&[0, 0, 0x10, 0, 0][..], &[0; 1 << 20]].concat();
    for (what, body, codes) in [
        (
            "compressed",
            &[1, 0, 0, 0, 1, 0][..],
            &[INTERNAL, UNIMPLEMENTED][..],
        ),
        ("a flag that is none", &[7, 0, 0, 0, 0], &[INTERNAL]),
        ("shorter than it says", &[0, 0, 0, 0, 9, 1], &[INTERNAL]),
        ("half a head", &[0, 0], &[INTERNAL]),
        ("no protobuf", &[0, 0, 0, 0, 2, 0xff, 0xff], &[INTERNAL]),
        ("none at all", &[], &[UNIMPLEMENTED]),
        ("two", &[0; 10], &[UNIMPLEMENTED]),
        (
            "too large by its own word",
            &[0, 0xff, 0xff, 0xff, 0xff],
            &[RESOURCE_EXHAUSTED],
        ),
        ("too large", &large, &[RESOURCE_EXHAUSTED]),
    ] {
        let Next::End(code, words) = program.call_with(X509_SVID, &[HEADER], body).unwrap().next() else {
            panic!("{what}: answered");
        };
        assert!(codes.contains(&code), "{what}: {code} {words}");
        assert!(!words.is_empty(), "{what}: without a word");
    }
    assert!(matches!(program.first(X509_SVID), Next::Message(_)));
    daemon.stop();
}

#[test]
fn who_speaks_no_grpc_is_told_in_http() {
    let mut place = Place::new();
    let daemon = started(&mut place);
    let program = Program::connect(&socket(&place));
    let path = "http://localhost/SpiffeWorkloadAPI/FetchX509SVID";
    let ask = |request: hyper::http::request::Builder| {
        let request = request.body(Full::new(Bytes::new())).unwrap();
        program.send(request).unwrap().status().as_u16()
    };
    assert_eq!(
        ask(Request::post(path).header("content-type", "application/json")),
        415
    );
    assert_eq!(ask(Request::post(path)), 415);
    assert_eq!(
        ask(Request::get(path).header("content-type", "application/grpc")),
        405
    );
    assert_eq!(ask(Request::get("http://localhost/")), 404);
    // HTTP/1, and bytes that are no HTTP at all.
    let talk = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(socket(&place)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = vec![];
        // Reset is as good an end as any.
        let _reset = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = talk(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 ") && !answer.contains(" 200 "),
        "{answer:?}"
    );
    talk(&[0xff; 100]);
    talk(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    assert!(matches!(program.first(X509_SVID), Next::Message(_)));
    daemon.stop();
}

#[test]
fn one_users_connections_keep_nobody_else_out() {
    if !can_be_others("one_users_connections") {
        return;
    }
    let mut place = Place::new();
    let daemon = started(&mut place);
    let connect = |uid| as_user(uid, uid, &[], || UnixStream::connect(socket(&place)));
    // More connections than his share of them, which say nothing.
    crate::tokens_denied::raise_files(12_000);
    let idle: Vec<UnixStream> = as_user(BOB, BOB, &[], || {
        (0..5_000)
            .map_while(|_| UnixStream::connect(socket(&place)).ok())
            .collect()
    });
    assert!(idle.len() >= 4_000, "{} connections", idle.len());
    let began = Instant::now();
    for uid in [ALICE, 0] {
        let program = Program::over(connect(uid).unwrap());
        assert!(matches!(program.first(X509_SVID), Next::Message(_)), "user {uid}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(idle);
    daemon.stop();
}

#[test]
fn one_users_streams_keep_nobody_else_out() {
    if !can_be_others("one_users_streams") {
        return;
    }
    let mut place = Place::new();
    let mut daemon = started(&mut place);
    let connect = |uid| as_user(uid, uid, &[], || UnixStream::connect(socket(&place)));
    // More streams than one connection may have wait for a place in it; on many connections they reach his share and are refused.
    let bobs: Vec<Program> = (0..12).map(|_| Program::over(connect(BOB).unwrap())).collect();
    let mut refused = None;
    let mut open = vec![];
    'all: for program in &bobs {
        for _ in 0..1_000 {
            let mut call = program.call_with(X509_SVID, &[HEADER], &[0; 5]).unwrap();
            match call.next() {
                Next::Message(_) => open.push(call),
                other => {
                    refused = Some(other);
                    break 'all;
                }
            }
        }
    }
    assert!(
        matches!(&refused, Some(Next::End(UNAVAILABLE, words)) if words.contains("as many calls open")),
        "{refused:?} after {}",
        open.len()
    );
    let alice = Program::over(connect(ALICE).unwrap());
    let mut hers = alice.call(X509_SVID);
    hers.svid();
    place.deliver_good();
    hers.svid();
    drop(open);
    drop(bobs);
    daemon.wait_for("the end of his streams", |d| {
        d.status().is_some_and(|s| s["workload"]["streams"] == 1)
    });
    let log = daemon.stop();
    assert!(
        log.lines()
            .any(|line| line.contains("share of the") && line.contains("uid=45012")),
        "the operator is told who:\n{log}"
    );
}
