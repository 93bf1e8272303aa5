//! What a reader of the standards makes of the bytes: IDs, certificates, keys, tokens, key sets. In: bytes. Out: facts, also about what is
//! wrong, because each fault is another check's. Never asks a server, never decides what passes.
pub mod cert;
pub mod id;
pub mod jwks;
pub mod jwt;
pub mod key;
