//! The messages of a stream, as somebody hostile may cut and frame them. They are those that the bytes hold, whatever the parts in which they come;
//! none is larger than was agreed; the first fault ends them by its name; and what is kept meanwhile is paid for.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "the daemon's files as they are, of which a part is used here"
)]
use hyper::body::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use std::sync::LazyLock;
use tokio::runtime::Runtime;

#[path = "../../../agent/mwid/src/http"]
mod http {
    pub(crate) mod shares;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) struct Holder {
        pub(crate) uid: u32,
        pub(crate) trusted: bool,
    }
}

#[path = "../../../agent/mwid/src/grpc"]
mod grpc {
    mod frame;
    #[path = "serve"]
    mod serve {
        mod shares;
        pub(in crate::grpc) use shares::Purse;

        pub(super) fn purse(room: usize) -> Purse {
            shares::Shares::new(1, room).purse(None)
        }
    }
    mod sieve;
    mod sifted;
    mod status;

    /// All messages, and the fault that ended them.
    pub(crate) async fn read<M: prost::Message + Default>(
        stream: h2::RecvStream,
        largest: usize,
        room: usize,
    ) -> (Vec<M>, Option<frame::Broken>) {
        let mut messages = frame::Messages::new(stream, largest).paid_from(serve::purse(room));
        let mut all = vec![];
        loop {
            match messages.next().await {
                Ok(Some(message)) => all.push(message),
                Ok(None) => return (all, None),
                Err(fault) => {
                    let status = fault.status();
                    assert!(!status.message.is_empty() && status.code.number() != 0);
                    return (all, Some(fault));
                }
            }
        }
    }
    pub(crate) use frame::Broken;
}
use grpc::Broken;

type Message = prost_types::Any;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
});

/// What the server makes of a stream of these parts.
async fn served(parts: Vec<Bytes>, largest: usize, room: usize) -> (Vec<Message>, Option<Broken>) {
    let (near, far) = tokio::io::duplex(256 * 1024);
    let server = async {
        let mut server = h2::server::handshake(far).await.unwrap();
        let (request, _reply) = server.accept().await.unwrap().unwrap();
        let read = grpc::read(request.into_body(), largest, room);
        tokio::select! {
            read = read => read,
            other = server.accept() => panic!("{other:?}"),
        }
    };
    let client = async {
        let (client, connection) = h2::client::handshake(near).await.unwrap();
        let send = async {
            let mut client = client.ready().await.unwrap();
            let request = hyper::Request::post("http://localhost/").body(()).unwrap();
            let (_answer, mut stream) = client.send_request(request, false).unwrap();
            for part in parts {
                stream.send_data(part, false).unwrap();
            }
            stream.send_data(Bytes::new(), true).unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = send => {}
            _ = connection => {}
        }
    };
    tokio::select! {
        read = server => read,
        () = client => panic!("the client ended"),
    }
}

/// The same from all bytes at once.
fn wanted(mut bytes: &[u8], largest: usize) -> (Vec<Message>, Option<&'static str>) {
    let mut all = vec![];
    loop {
        let [flag, a, b, c, d, rest @ ..] = bytes else {
            return (all, (!bytes.is_empty()).then_some("short"));
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if *flag != 0 {
            return (all, Some("frame"));
        }
        if length > largest {
            return (all, Some("too large"));
        }
        let Some((message, after)) = rest.split_at_checked(length) else {
            return (all, Some("short"));
        };
        match Message::decode(message) {
            Ok(message) => all.push(message),
            Err(_) => return (all, Some("decode")),
        }
        bytes = after;
    }
}

fuzz_target!(|input: (u16, bool, Vec<(u8, &[u8])>)| {
    let (largest, poor, parts) = input;
    let largest = usize::from(largest);
    // Bytes as they come; the head of a message of the right length; a whole message.
    let parts: Vec<Bytes> = parts
        .iter()
        .take(64)
        .flat_map(|(choice, bytes)| {
            let whole = Message {
                type_url: String::new(),
                value: bytes.to_vec(),
            };
            let body = match choice % 4 {
                0 => return vec![Bytes::copy_from_slice(bytes)],
                1 => bytes.to_vec(),
                _ => whole.encode_to_vec(),
            };
            let mut head = vec![0];
            head.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
            let at = usize::from(*choice) % (head.len() + 1);
            let (first, second) = head.split_at(at);
            vec![first.to_vec().into(), [second, &body].concat().into()]
        })
        .collect();
    let bytes = parts.concat();
    // A window's worth: the client here does not wait for more.
    if bytes.len() > 32 * 1024 {
        return;
    }
    let room = if poor { 2048 } else { 1 << 20 };
    let (got, fault) = RUNTIME.block_on(served(parts, largest, room));
    let (all, why) = wanted(&bytes, largest);
    let kind = fault.as_ref().map(|fault| match fault {
        Broken::TooLarge { .. } => "too large",
        Broken::OverShare { .. } => "over share",
        Broken::Frame => "frame",
        Broken::Short => "short",
        Broken::Decode(_) => "decode",
        Broken::Fields => panic!("of messages that are read whole"),
        Broken::Stream(error) => panic!("{error}"),
    });
    if kind == Some("over share") {
        assert!(poor && bytes.len() > room / 4 && all.starts_with(&got));
    } else {
        assert_eq!((got, kind), (all, why));
    }
});
