//! Numbers in the texts of /proc. In: `/proc/PID/stat`, `/proc/PID/status`. Out: when the process started, whose it is. Never anything that
//! the process wrote itself: its name stands in both, and may look like anything.

/// Field 22 of `/proc/PID/stat`: ticks since the boot. The name, field 2, ends at the last parenthesis.
pub(crate) fn start_time(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|&b| b == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// The second number of the line `Uid:` in `/proc/PID/status`. The kernel escapes line ends in the name, which comes first.
pub(crate) fn effective_uid(status: &[u8]) -> Option<u32> {
    let line = status
        .split(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line)
        .ok()?
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_moves_no_number() {
        let stat = |name: &str| {
            format!(
                "77 ({name}) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9000 12 18446744073709551615\n"
            )
        };
        for name in [
            "sleep",
            "",
            "a) S 1 2",
            ") R 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1",
            "((",
            "\n",
        ] {
            assert_eq!(start_time(stat(name).as_bytes()), Some(4711), "{name:?}");
        }
        for bad in [
            "",
            "77",
            "77 (sleep)",
            "77 (sleep) S 1 77",
            "77 sleep S 1 77 77 0",
        ] {
            assert_eq!(start_time(bad.as_bytes()), None, "{bad:?}");
        }
        let status = "Name:\tUid:\\n0 0\nUmask:\t0022\nUid:\t1000\t1001\t1002\t1003\nGid:\t5\t6\t7\t8\n";
        assert_eq!(effective_uid(status.as_bytes()), Some(1001));
        for bad in [
            "",
            "Uid:",
            "Uid:\t1",
            "Uid:\t1\tx",
            "Uid:\t1\t4294967296",
            "Gid:\t1\t2",
        ] {
            assert_eq!(effective_uid(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn our_own_numbers_are_found() {
        assert!(start_time(&std::fs::read("/proc/self/stat").unwrap()).is_some_and(|ticks| ticks > 0));
        let uid = effective_uid(&std::fs::read("/proc/self/status").unwrap());
        assert_eq!(uid, Some(nix::unistd::geteuid().as_raw()));
    }
}
