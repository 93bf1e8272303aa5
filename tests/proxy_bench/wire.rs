//! One connection with blocking calls: bulk in one direction, and questions with their answers.
use crate::application::question;
use crate::load::Caller;
use crate::mtls::nobody;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes of one bulk question.
const UNIT: u64 = 64 << 20;
/// Handed to TLS at once.
const PIECE: usize = 64 * 1024;

pub(crate) struct Wire {
    tls: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn open(caller: &Caller) -> Self {
        let (config, to) = caller.next();
        let tcp = TcpStream::connect(to).unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut tls = ClientConnection::new(config, nobody()).unwrap();
        tls.set_buffer_limit(Some(2 * PIECE));
        Self {
            tls: StreamOwned::new(tls, tcp),
            buffer: vec![0x5a; 4 * PIECE],
        }
    }

    /// Bytes in one direction for some time: how many.
    pub(crate) fn bulk(&mut self, up: bool, time: Duration) -> u64 {
        let (began, mut bytes) = (Instant::now(), 0);
        while began.elapsed() < time {
            match up {
                true => self.up(),
                false => self.down(),
            }
            bytes += UNIT;
        }
        bytes
    }

    fn up(&mut self) {
        self.tls.write_all(&question(b'S', UNIT)).unwrap();
        for _ in 0..UNIT / PIECE as u64 {
            self.tls.write_all(&self.buffer[..PIECE]).unwrap();
        }
        let mut answer = [0];
        self.tls.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"K");
    }

    fn down(&mut self) {
        self.tls.write_all(&question(b'G', UNIT)).unwrap();
        let mut left = usize::try_from(UNIT).unwrap();
        while left > 0 {
            let most = left.min(self.buffer.len());
            match self.tls.read(&mut self.buffer[..most]).unwrap() {
                0 => panic!("closed"),
                n => left -= n,
            }
        }
    }

    /// Questions and answers of so many bytes, one after the other: what each took.
    pub(crate) fn round_trips(&mut self, size: usize, count: usize) -> Vec<Duration> {
        let mut bytes = question(b'E', size as u64);
        bytes.resize(bytes.len() + size, b'x');
        let trip = |_| {
            let began = Instant::now();
            self.tls.write_all(&bytes).unwrap();
            self.tls.read_exact(&mut self.buffer[..size]).unwrap();
            began.elapsed()
        };
        (0..count).map(trip).collect()
    }
}
