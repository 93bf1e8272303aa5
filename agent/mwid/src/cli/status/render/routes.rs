//! The proxy's routes, as lines of a status.
use super::{Page, one_line};
use crate::health::status::{HttpStatus, RouteStatus, TargetStatus};

pub(super) fn routes(page: &mut Page, routes: &[RouteStatus]) {
    let mut label = "routes";
    for route in routes {
        let side = if route.inbound { "inbound" } else { "outbound" };
        let text = format!("{} {side}, {} to {}", route.name, route.listen, route.target);
        page.line(label, &one_line(&text));
        label = "";
        let text = format!(
            "  {} open, {} made, {} refused, {} received, {} sent",
            route.open,
            route.made,
            route.refused,
            bytes(route.received),
            bytes(route.sent)
        );
        page.line("", &text);
        if route.dry_run {
            let text = page
                .paint
                .warn("  dry run: peers that the rules refuse are let in");
            page.line("", &text);
        }
        targets(page, &route.targets);
        page.trouble("  last refusal", route.last_refusal.as_ref());
        if let Some(http) = &route.http {
            requests(page, http);
        }
    }
}

fn requests(page: &mut Page, http: &HttpStatus) {
    let mut text = format!("  {} requests", http.answers.iter().sum::<u64>());
    for (number, count) in http.answers.iter().enumerate().filter(|(_, count)| **count > 0) {
        text.push_str(&format!(", {count} of {}xx", number + 1));
    }
    if http.refused > 0 {
        text.push_str(&format!("; {} refused", http.refused));
    }
    if http.no_answer > 0 {
        text.push_str(&format!(
            "; {} that the application did not answer",
            http.no_answer
        ));
    }
    page.line("", &text);
    page.trouble("  last such request", http.last_refusal.as_ref());
}

/// Each, where there are several; of a single one, only what is wrong.
fn targets(page: &mut Page, targets: &[TargetStatus]) {
    for one in targets {
        let since = one
            .since
            .map(|at| format!(" since {}", page.ago(at)))
            .unwrap_or_default();
        let error = one.last_error.as_ref();
        if !one.up {
            let why = error.map(|error| format!(": {}", error.text)).unwrap_or_default();
            let text = format!("  target {} down{since}{why}", one.target);
            let text = page.paint.bad(&one_line(&text));
            page.line("", &text);
        } else if targets.len() > 1 {
            let text = format!("  target {} up{since}, {} open", one.target, one.open);
            page.line("", &one_line(&text));
            page.trouble("    last error", error);
        }
        if let Some(why) = &one.old_addresses {
            let text = format!("  target {}: {why}", one.target);
            let text = page.paint.warn(&one_line(&text));
            page.line("", &text);
        }
    }
}

/// In the largest binary unit of which there is one.
fn bytes(number: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = (number.max(1).ilog2() / 10) as usize;
    match unit.checked_sub(1).and_then(|unit| units.get(unit)) {
        None => format!("{number} B"),
        Some(name) => {
            let tenths = (u128::from(number) * 10) >> (10 * unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::words::Paint;
    use crate::health::status::ErrorLine;
    use jiff::Timestamp;

    #[test]
    fn bytes_have_the_largest_unit_that_fits() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    fn target(name: &str, up: bool) -> TargetStatus {
        let at = |second| Timestamp::from_second(second).unwrap();
        TargetStatus {
            target: name.to_owned(),
            up,
            since: Some(at(60)),
            open: 2,
            last_error: Some(ErrorLine {
                at: at(50),
                text: "connect:\nconnection refused".to_owned(),
            }),
            addresses: vec![],
            old_addresses: None,
        }
    }

    #[test]
    fn a_route_has_its_counts_and_its_last_refusal() {
        let mut page = Page {
            text: String::new(),
            paint: Paint(false),
            now: Timestamp::from_second(100).unwrap(),
        };
        let route = RouteStatus {
            name: "payments".to_owned(),
            inbound: true,
            listen: "0.0.0.0:8443".to_owned(),
            target: "127.0.0.1:8080, 127.0.0.1:8081".to_owned(),
            targets: vec![
                target("127.0.0.1:8080", true),
                TargetStatus {
                    old_addresses: Some("its addresses of 70 s ago are used".to_owned()),
                    ..target("127.0.0.1:8081", false)
                },
            ],
            dry_run: true,
            open: 2,
            made: 7,
            refused: 1,
            received: 2048,
            sent: 5,
            last_refusal: Some(ErrorLine {
                at: Timestamp::from_second(90).unwrap(),
                text: "no_rule: no rule allows\nthis peer".to_owned(),
            }),
            http: Some(HttpStatus {
                answers: [0, 5, 0, 2, 1],
                refused: 2,
                no_answer: 1,
                last_refusal: Some(ErrorLine {
                    at: Timestamp::from_second(95).unwrap(),
                    text: "host: the request needs one Host".to_owned(),
                }),
            }),
        };
        routes(&mut page, &[route]);
        assert_eq!(
            page.text,
            "routes      payments inbound, 0.0.0.0:8443 to 127.0.0.1:8080, 127.0.0.1:8081\n\
             \x20             2 open, 7 made, 1 refused, 2.0 KiB received, 5 B sent\n\
             \x20             dry run: peers that the rules refuse are let in\n\
             \x20             target 127.0.0.1:8080 up since 40s ago, 2 open\n\
             \x20               last error 50s ago: connect: connection refused\n\
             \x20             target 127.0.0.1:8081 down since 40s ago: connect: connection refused\n\
             \x20             target 127.0.0.1:8081: its addresses of 70 s ago are used\n\
             \x20             last refusal 10s ago: no_rule: no rule allows this peer\n\
             \x20             8 requests, 5 of 2xx, 2 of 4xx, 1 of 5xx; 2 refused; 1 that the application did not answer\n\
             \x20             last such request 5s ago: host: the request needs one Host\n"
        );
    }
}
