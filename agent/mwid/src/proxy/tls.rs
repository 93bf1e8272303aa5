//! One TLS connection without buffers of its own. In: bytes from the wire, plain bytes. Out: plain bytes, bytes for the wire, in buffers that the
//! caller lends. Never does any I/O, and keeps no byte of either kind.
use super::scratch::Sealed;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedConnectionCommon, UnbufferedStatus,
};
use rustls::{CommonState, Error};

/// Either side's state.
pub(super) enum Tls {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What came of bytes from the wire.
pub(super) struct Took {
    /// So many are done with; the others must come again, with more behind them.
    pub(super) used: usize,
    /// The peer has said that it sends no more.
    pub(super) closed: bool,
}

/// The connection cannot go on; its alert for the peer is among the sealed bytes.
#[derive(Debug)]
pub(super) struct Fault(pub(super) Error);

macro_rules! either {
    ($this:expr, $connection:ident => $call:expr) => {
        match $this {
            Tls::Server($connection) => $call,
            Tls::Client($connection) => $call,
        }
    };
}

impl Tls {
    /// Takes bytes from the wire, decrypting in place; answers of TLS itself are sealed. With no bytes: what there is to say first.
    pub(super) fn take(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        sealed: &mut Sealed,
    ) -> Result<Took, Fault> {
        either!(self, connection => take(connection, bytes, plain, sealed))
    }

    /// Encrypts. `begun` is what [`Tls::take`] was not done with: rustls knows of messages in it, and looks for them there.
    pub(super) fn seal(&mut self, begun: &mut [u8], plain: &[u8], sealed: &mut Sealed) -> Result<(), Fault> {
        either!(self, connection => write(connection, begun, sealed, Some(plain)))
    }

    /// Says that no more will be sent; `begun` as for [`Tls::seal`].
    pub(super) fn close(&mut self, begun: &mut [u8], sealed: &mut Sealed) -> Result<(), Fault> {
        either!(self, connection => write(connection, begun, sealed, None))
    }

    /// What both sides have in common: the peer's certificates, the version, the protocol.
    pub(super) fn state(&self) -> &CommonState {
        either!(self, connection => connection)
    }
}

/// rustls gives each side a method of this name, and no trait.
trait Records<D> {
    fn records<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, D>;
}

impl Records<ServerConnectionData> for UnbufferedConnectionCommon<ServerConnectionData> {
    fn records<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, ServerConnectionData> {
        self.process_tls_records(bytes)
    }
}

impl Records<ClientConnectionData> for UnbufferedConnectionCommon<ClientConnectionData> {
    fn records<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, ClientConnectionData> {
        self.process_tls_records(bytes)
    }
}

fn take<D>(
    connection: &mut UnbufferedConnectionCommon<D>,
    bytes: &mut [u8],
    plain: &mut Vec<u8>,
    sealed: &mut Sealed,
) -> Result<Took, Fault>
where
    UnbufferedConnectionCommon<D>: Records<D>,
{
    let mut used = 0;
    loop {
        let UnbufferedStatus {
            mut discard, state, ..
        } = connection.records(&mut bytes[used..]);
        let closed = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(Fault)?;
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                None
            }
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                encode(&mut message, sealed)?;
                None
            }
            Ok(ConnectionState::TransmitTlsData(message)) => {
                message.done();
                None
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Some(false),
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(true),
            // Early data is off in every config.
            Ok(_) => return Err(Fault(Error::General("a state of TLS that cannot be".to_owned()))),
            Err(error) => {
                alert(connection, sealed);
                return Err(Fault(error));
            }
        };
        used += discard;
        match closed {
            None => {}
            // What comes after a close is not the peer's (RFC 8446, 6.1).
            Some(true) => {
                return Ok(Took {
                    used: bytes.len(),
                    closed: true,
                });
            }
            Some(false) => return Ok(Took { used, closed: false }),
        }
    }
}

fn encode<D>(
    message: &mut rustls::unbuffered::EncodeTlsData<'_, D>,
    sealed: &mut Sealed,
) -> Result<(), Fault> {
    let mut size = 0;
    loop {
        match message.encode(sealed.room(size)) {
            Ok(written) => {
                sealed.add(written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(wanted)) => size = wanted.required_size,
            Err(EncodeError::AlreadyEncoded) => return Ok(()),
        }
    }
}

/// Seals the alert that goes with a fault. Asks for no more than there is to say: rustls would look at the faulty bytes again.
fn alert<D>(connection: &mut UnbufferedConnectionCommon<D>, sealed: &mut Sealed)
where
    UnbufferedConnectionCommon<D>: Records<D>,
{
    while CommonState::wants_write(connection) {
        let Ok(ConnectionState::EncodeTlsData(mut message)) = connection.records(&mut []).state else {
            return;
        };
        if encode(&mut message, sealed).is_err() {
            return;
        }
    }
}

/// Encrypts, or closes when there is nothing to encrypt.
fn write<D>(
    connection: &mut UnbufferedConnectionCommon<D>,
    begun: &mut [u8],
    sealed: &mut Sealed,
    plain: Option<&[u8]>,
) -> Result<(), Fault>
where
    UnbufferedConnectionCommon<D>: Records<D>,
{
    // A full record and what goes around it.
    const RECORD: usize = 16 * 1024;
    const AROUND: usize = 64;
    let length = plain.map_or(0, <[u8]>::len);
    let mut size = length + (length / RECORD + 2) * AROUND;
    loop {
        let done = match connection.records(begun).state.map_err(Fault)? {
            ConnectionState::EncodeTlsData(mut message) => {
                encode(&mut message, sealed)?;
                continue;
            }
            ConnectionState::TransmitTlsData(message) => {
                message.done();
                continue;
            }
            // Told once, by the bytes that said it.
            ConnectionState::PeerClosed => continue,
            ConnectionState::WriteTraffic(mut traffic) => match plain {
                Some(plain) => traffic.encrypt(plain, sealed.room(size)),
                None => traffic.queue_close_notify(sealed.room(size)),
            },
            // There is no end to be told before the end of the handshake, nor after both sides have told theirs.
            ConnectionState::BlockedHandshake | ConnectionState::Closed if plain.is_none() => return Ok(()),
            // Plain bytes that cannot be sent are not lost in silence. Records that were not read are a fault of ours: all whole ones were.
            _ => return Err(Fault(Error::General("bytes that TLS cannot send now".to_owned()))),
        };
        match done {
            Ok(written) => {
                sealed.add(written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(wanted)) => size = wanted.required_size,
            Err(EncryptError::EncryptExhausted) => return Err(Fault(Error::EncryptError)),
        }
    }
}
