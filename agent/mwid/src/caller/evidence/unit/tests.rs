//! Paths of control groups, honest and hostile.
use super::*;

#[test]
fn the_unit_is_the_first_below_the_root() {
    let table: &[(&str, Option<&str>)] = &[
        ("/system.slice/payments.service", Some("payments.service")),
        ("/payments.service", Some("payments.service")),
        ("/init.scope", Some("init.scope")),
        ("/system.slice/payments.service/", Some("payments.service")),
        (
            "/system.slice/payments.service/evil.service/x",
            Some("payments.service"),
        ),
        (
            "/system.slice/payments.service/worker/a b",
            Some("payments.service"),
        ),
        (
            "/system.slice/payments.service/x (deleted)",
            Some("payments.service"),
        ),
        (
            "/system.slice/system-getty.slice/getty@tty1.service",
            Some("getty@tty1.service"),
        ),
        (
            "/user.slice/user-1000.slice/session-3.scope",
            Some("session-3.scope"),
        ),
        (
            "/machine.slice/machine-web.scope/payload/system.slice/payments.service",
            Some("machine-web.scope"),
        ),
        (r"/system.slice/a\x2db.service", Some(r"a\x2db.service")),
        ("/system.slice/_memory.service", Some("memory.service")),
        ("/system.slice/__x.service", Some("_x.service")),
    ];
    for (path, unit) in table {
        assert_eq!(of_path(path.as_bytes()), *unit, "{path}");
    }
}

#[test]
fn what_others_can_make_is_no_unit() {
    let long = format!("/system.slice/{}.service", "a".repeat(248));
    let table: &[&str] = &[
        // The users' own managers make what they like.
        "/user.slice/user-1000.slice/user@1000.service/app.slice/payments.service",
        "/user.slice/user-1000.slice/user@1000.service/payments.service",
        "/user.slice/user-1000.slice/user@1000.service",
        "/user.slice/user-1000.slice/_user@1000.service/payments.service",
        // Not systemd's: the inside may belong to anybody.
        "/docker/0123/system.slice/payments.service",
        "/lxc.payload.web/system.slice/payments.service",
        "/kubepods/besteffort/pod1/payments.service",
        "/../../system.slice/payments.service",
        "/system.slice/../payments.service",
        "/./payments.service",
        "//payments.service",
        "/system.slice//payments.service",
        "system.slice/payments.service",
        "payments.service",
        "",
        "/",
        "/system.slice",
        "/system.slice/",
        "/system.slice/.service",
        "/system.slice/_.service",
        "/system.slice/service",
        "/system.slice/payments.service (deleted)",
        "/system.slice/payments.Service",
        "/system.slice/payments.service\u{202e}",
        "/system.slice/pay ments.service",
        "/system.slice/pay\tments.service",
        "/system.slice (deleted)/payments.service",
        &long,
    ];
    for path in table {
        assert_eq!(of_path(path.as_bytes()), None, "{path}");
    }
    assert_eq!(of_path(b"/system.slice/\xff.service"), None);
    assert_eq!(of_path(&long.as_bytes()[..14 + 255]), None, "cut");
    let longest = format!("/system.slice/{}.service", "a".repeat(247));
    assert_eq!(of_path(longest.as_bytes()), Some(&longest[14..]));
}

#[test]
fn the_line_that_counts() {
    let table: &[(&str, Option<&str>)] = &[
        ("0::/system.slice/a.service\n", Some("a.service")),
        ("0::/system.slice/a.service", Some("a.service")),
        // Older set-ups.
        (
            "9:name=systemd:/system.slice/a.service\n8:pids:/\n0::/\n",
            Some("a.service"),
        ),
        (
            "9:name=systemd:/system.slice/a.service\n8:pids:/\n",
            Some("a.service"),
        ),
        (
            "1:name=systemd:/system.slice/b.service\n0::/system.slice/a.service\n",
            Some("a.service"),
        ),
        (
            "0::/system.slice/a.service\n1:name=systemd:/system.slice/b.service\n",
            Some("a.service"),
        ),
        // Says something, only no unit.
        ("1:name=systemd:/system.slice/b.service\n0::/docker/x\n", None),
        // Other hierarchies are other people's.
        ("4:memory:/system.slice/a.service\n0::/\n", None),
        ("4:name=mine:/system.slice/a.service\n0::/\n", None),
        ("4:name=systemd,cpu:/system.slice/a.service\n0::/\n", None),
        ("4:xname=systemd:/system.slice/a.service\n", None),
        ("00::/system.slice/a.service\n", None),
        ("x0::/system.slice/a.service\n", None),
        // A colon in a path is a part of it.
        ("0::/system.slice/a:b.service\n", Some("a:b.service")),
        ("3:cpu:/x:name=systemd:/system.slice/a.service\n0::/\n", None),
        ("1:name=systemd:/\n2:name=systemd:/system.slice/a.service\n", None),
        ("0::/\n", None),
        ("name=systemd\n:name=systemd\n", None),
        ("\n\n", None),
        ("", None),
    ];
    for (text, unit) in table {
        assert_eq!(in_proc_file(text.as_bytes()), *unit, "{text:?}");
    }
}
