//! A load balancer's header, and what somebody hostile sends in its place. What is read is what was written, in whatever pieces it comes; not a byte more
//! is taken, and never more than a header may have.
#![no_main]
#![allow(
    dead_code,
    reason = "the daemon's files as they are, of which a part is used here"
)]
use libfuzzer_sys::fuzz_target;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, ReadBuf};

#[path = "../../../agent/mwid/src/proxy/proxy_protocol"]
mod proxy_protocol {
    mod encode;
    mod read;

    pub(crate) use read::{HeaderError, read};

    pub(crate) fn written(
        from: Option<std::net::SocketAddr>,
        to: Option<std::net::SocketAddr>,
        more: &[u8],
    ) -> Option<Vec<u8>> {
        encode::encode(from, to, more)
    }
}
use proxy_protocol::{HeaderError, written};

/// More than any header has.
const MOST: usize = 16 + 4096;

/// A stream whose bytes come in pieces of these sizes, with nothing between them, and at once from there on.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: &'a [u8],
    left: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left == 0 {
            let Some((size, sizes)) = this.sizes.split_first() else {
                this.left = usize::MAX;
                return Pin::new(this).poll_read(cx, buf);
            };
            (this.left, this.sizes) = (usize::from(*size).max(1), sizes);
            return Poll::Pending;
        }
        let now = this.left.min(buf.remaining()).min(this.bytes.len());
        let (some, rest) = this.bytes.split_at(now);
        buf.put_slice(some);
        this.bytes = rest;
        this.left -= now;
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Ends(Option<(SocketAddr, SocketAddr)>),
    None,
    TooLong,
    Wrong,
    Ended,
}

/// What is read, and how many bytes are left.
fn read(bytes: &[u8], sizes: &[u8]) -> (Verdict, usize) {
    let mut stream = Pieces {
        bytes,
        sizes,
        left: 0,
    };
    let mut context = Context::from_waker(Waker::noop());
    let read = {
        let mut reading = pin!(proxy_protocol::read(&mut stream));
        loop {
            if let Poll::Ready(read) = reading.as_mut().poll(&mut context) {
                break read;
            }
        }
    };
    let verdict = match read {
        Ok(ends) => Verdict::Ends(ends.map(|ends| (ends.from, ends.to))),
        Err(HeaderError::None) => Verdict::None,
        Err(HeaderError::TooLong) => Verdict::TooLong,
        Err(HeaderError::Wrong) => Verdict::Wrong,
        Err(HeaderError::Io(_)) => Verdict::Ended,
    };
    (verdict, stream.bytes.len())
}

/// The line of version 1.
fn line(from: SocketAddr, to: SocketAddr) -> String {
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    format!(
        "PROXY {family} {} {} {} {}\r\n",
        from.ip(),
        to.ip(),
        from.port(),
        to.port()
    )
}

type Address = (bool, [u8; 16], u16);

fn address((is_v4, ip, port): Address) -> SocketAddr {
    match ip.first_chunk::<4>() {
        Some(ip) if is_v4 => (*ip, port).into(),
        _ => (ip, port).into(),
    }
}

/// What an IPv4 address is beside an IPv6 one.
fn mapped(one: SocketAddr) -> SocketAddr {
    match one {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        v6 => v6,
    }
}

fuzz_target!(|input: (u8, Address, Address, &[u8], &[u8], &[u8])| {
    let (kind, from, to, more, after, sizes) = input;
    let (from, to) = (address(from), address(to));
    let (header, wanted) = match kind % 6 {
        // Anything.
        0 => (more.to_vec(), None),
        // The first bytes of a header, and anything.
        1 => ([&b"\r\n\r\n\0\r\nQUIT\n"[..], more].concat(), None),
        2 => ([&b"PROXY "[..], more].concat(), None),
        // Version 1, where both are of one kind.
        3 => {
            let same = from.is_ipv4() == to.is_ipv4();
            let wanted = if same {
                Verdict::Ends(Some((from, to)))
            } else {
                Verdict::Wrong
            };
            (line(from, to).into_bytes(), same.then_some(wanted))
        }
        // Version 2, as this daemon writes it.
        4 => {
            let is_v4 = from.is_ipv4() && to.is_ipv4();
            let seen = |one| if is_v4 { one } else { mapped(one) };
            let ends = (seen(from), seen(to));
            let header = written(Some(from), Some(to), more).expect("it is short");
            let wanted = if header.len() > MOST {
                Verdict::TooLong
            } else {
                Verdict::Ends(Some(ends))
            };
            (header, Some(wanted))
        }
        _ => {
            let header = written(None, Some(to), more).expect("it is short");
            let wanted = if header.len() > MOST {
                Verdict::TooLong
            } else {
                Verdict::Ends(None)
            };
            (header, Some(wanted))
        }
    };
    let bytes = [&header[..], after].concat();
    let (verdict, left) = read(&bytes, &[]);
    assert_eq!(
        read(&bytes, sizes),
        (read(&bytes, &[])),
        "the pieces make a difference"
    );
    let taken = bytes.len() - left;
    assert!(taken <= MOST, "{taken} bytes are taken");
    if let Some(wanted) = wanted {
        assert_eq!(verdict, wanted);
        if matches!(wanted, Verdict::Ends(_)) {
            assert_eq!(taken, header.len(), "the header, and not a byte more");
        }
    }
    if let Verdict::Ends(Some((one, other))) = verdict {
        // Whatever it was read from, it can be written and is read again.
        let again = written(Some(one), Some(other), &[]).expect("it is short");
        assert_eq!(read(&again, sizes), (Verdict::Ends(Some((one, other))), 0));
        // And nothing that is cut short says the same.
        let (short, _) = read(&bytes[..taken - 1], &[]);
        assert_eq!(short, Verdict::Ended);
    }
});
