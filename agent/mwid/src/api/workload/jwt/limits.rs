//! Which audiences a JWT-SVID is made for. In: what was asked. Out: whether it is within bounds. Never changes what was asked.
use super::invalid;
use crate::grpc::Status;

/// More than one is discouraged already (JWT-SVID section 3.2).
const MOST: usize = 32;
/// In bytes: half of a SPIFFE ID of the greatest length.
const LONGEST: usize = 1024;

pub(super) fn audiences(asked: &[String]) -> Result<(), Status> {
    if asked.is_empty() || asked.iter().any(String::is_empty) {
        return Err(invalid("audience must be specified"));
    }
    if asked.len() > MOST {
        return Err(invalid(format!(
            "{} audiences were asked for; a JWT-SVID is made for {MOST} at most, and one is best",
            asked.len()
        )));
    }
    match asked.iter().map(String::len).max() {
        Some(longest) if longest > LONGEST => Err(invalid(format!(
            "an audience is {longest} bytes long; at most {LONGEST} are taken"
        ))),
        _ => Ok(()),
    }
}
