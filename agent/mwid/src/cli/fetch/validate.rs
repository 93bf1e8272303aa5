//! `mwid validate jwt`. In: a token, an audience. Out: what the agent says of it. Never a token in an error.
use super::agent;
use crate::cli::words::clean;
use crate::cli::{Exit, Failure, args, output};
use crate::workload_client::Client;
use std::io::Read;
use zeroize::Zeroizing;

/// Of a token that is read. A JWT-SVID is some hundred bytes.
const LARGEST: u64 = 64 * 1024;

pub(super) fn jwt(args: &args::ValidateJwtArgs) -> Result<(), Failure> {
    let token = read(&args.svid)?;
    let audience = args.audience.clone();
    let asked = async |client: Client| client.validate(&audience, token.trim()).await;
    let validated = agent::ask(&args.workload, asked)?;
    if args.json {
        let both = serde_json::json!({ "spiffe_id": validated.id, "claims": validated.claims });
        return output::data(&format!("{both:#}\n"));
    }
    let mut page = format!("{}\n", clean(&validated.id).replace('\n', " "));
    for (name, claim) in validated.claims.as_object().into_iter().flatten() {
        page.push_str(&clean(&format!("  {name}: {claim}")).replace('\n', " "));
        page.push('\n');
    }
    output::data(&page)
}

/// From a file, or from standard input for `-`.
fn read(from: &std::path::Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |e| {
        let message = format!("cannot read the JWT-SVID from {}", from.display());
        Failure::new(Exit::Io, message).because(e)
    };
    let mut text = Zeroizing::new(String::with_capacity(4096));
    let read = if from.as_os_str() == "-" {
        std::io::stdin().take(LARGEST).read_to_string(&mut text)
    } else {
        std::fs::File::open(from).and_then(|file| file.take(LARGEST).read_to_string(&mut text))
    };
    match read.map_err(failed)? {
        _ if text.trim().is_empty() => Err(Failure::new(Exit::Data, "there is no JWT-SVID to validate")),
        length if length as u64 == LARGEST => {
            Err(Failure::new(Exit::Data, "this is too long for a JWT-SVID"))
        }
        _ => Ok(text),
    }
}
