//! A thousand rotations under load: no handshake fails and no open connection is dropped. The times are printed, not judged: this may be a
//! debug build on a busy machine. `cargo bench --bench rotation` is for the times.
#![expect(clippy::unwrap_used, reason = "a panic is the report")]

#[path = "support/rotation.rs"]
mod rotation;

const ROTATIONS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rotations_under_load_drop_nothing() {
    let report = rotation::run(ROTATIONS).await;
    println!("{report}");
    assert!(
        report.failures.is_empty(),
        "{} failures, the first: {:#?}",
        report.failures.len(),
        &report.failures[..report.failures.len().min(10)]
    );
    assert!(
        report.handshakes >= report.rotations,
        "{} handshakes",
        report.handshakes
    );
    assert!(report.held_exchanges > 0);
}
