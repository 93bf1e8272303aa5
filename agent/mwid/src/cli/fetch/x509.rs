//! `mwid fetch x509`. In: the answer. Out: what the certificates say, in words or as JSON; or files. Never the key but into a file that its owner alone
//! can read.
use super::prove::{self, Proven};
use super::{agent, write};
use crate::api::admin::identity::IdentityDetail;
use crate::cli::identity::render;
use crate::cli::words::{Paint, clean};
use crate::cli::{Failure, args, output};
use crate::telemetry::logging::wall_clock;
use write::File;

pub(super) fn run(args: &args::FetchX509Args) -> Result<(), Failure> {
    let svids = agent::ask(&args.workload, async |client| client.x509().await)?;
    let proven = prove::all(svids, super::now()?)?;
    if let Some(directory) = &args.write {
        write::all(directory, &files(&proven), is_ours)?;
    }
    match args.json {
        true => output::data(&json(&proven)),
        false => output::data(&text(&proven, Paint(output::colour()))),
    }
}

/// Named as SPIRE names them, so that what reads those reads these. The bundle of another trust domain is in a file of its own.
fn files(proven: &[Proven]) -> Vec<File> {
    let mut files = vec![];
    for (at, Proven { identity, .. }) in proven.iter().enumerate() {
        let key = identity.private_key_pem();
        files.push(File::secret(format!("svid.{at}.key"), key.as_bytes()));
        files.push(File::open(format!("svid.{at}.pem"), identity.chain_pem()));
        let own = identity.id().trust_domain();
        let mut others = 0;
        for bundle in identity.bundles().iter() {
            let name = if bundle.trust_domain() == own {
                format!("bundle.{at}.pem")
            } else {
                others += 1;
                format!("federated_bundle.{at}.{}.pem", others - 1)
            };
            files.push(File::open(name, bundle.to_pem()));
        }
    }
    files
}

/// Whether a file is of such a name: there are fewer when an SVID or a trust domain is taken back.
fn is_ours(name: &str) -> bool {
    // Written as we write it.
    let is_number = |text: &str| text.parse().is_ok_and(|number: usize| number.to_string() == text);
    match name.split('.').collect::<Vec<_>>()[..] {
        ["svid", at, "pem" | "key"] | ["bundle", at, "pem"] => is_number(at),
        ["federated_bundle", at, other, "pem"] => is_number(at) && is_number(other),
        _ => false,
    }
}

fn text(proven: &[Proven], paint: Paint) -> String {
    let now = wall_clock()();
    let one = |Proven { identity, hint }: &Proven| {
        let hint = match hint.as_str() {
            "" => String::new(),
            hint => format!("hint {}\n", clean(hint).replace('\n', " ")),
        };
        hint + &render::text(&IdentityDetail::of(identity), now, paint)
    };
    proven.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn json(proven: &[Proven]) -> String {
    let svids: Vec<_> = proven
        .iter()
        .map(|Proven { identity, hint }| {
            let mut svid = serde_json::json!(IdentityDetail::of(identity));
            if let Some(svid) = svid.as_object_mut() {
                // It counts a daemon's own.
                svid.remove("generation");
                svid.insert("hint".to_owned(), hint.as_str().into());
            }
            svid
        })
        .collect();
    format!("{:#}\n", serde_json::json!({ "svids": svids }))
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_names_that_this_command_gives_are_ours() {
        for name in [
            "svid.0.pem",
            "svid.12.key",
            "bundle.3.pem",
            "federated_bundle.0.10.pem",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "",
            "svid.pem",
            "svid.x.pem",
            "svid.01.pem",
            "svid.+1.pem",
            "svid.0.pem.bak",
            "svid.0.0.pem",
            "my.svid.0.pem",
            "bundle.0.key",
            "federated_bundle.0.pem",
            "federated_bundle.0.0.key",
            "federated_bundle.0..pem",
            "trust_bundles.json",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
