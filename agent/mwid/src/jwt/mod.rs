//! JSON Web Tokens: signed by us, and validated when they are JWT-SVIDs.
//!
//! In: claims to sign; tokens that others hand in, with trust bundles and the time. Out: tokens; the claims of a valid JWT-SVID, or the one
//! reason why it is none. Never takes an algorithm that a token chooses beyond what its key is for, never shows a token.
//!
//! Own code, because no kept library has ES512, takes the time as an argument and refuses a doubled key. The cryptography is aws-lc's.
mod algorithm;
mod compact;
mod key;
mod signing;
pub(crate) mod svid;

pub(crate) use signing::SigningKey;
