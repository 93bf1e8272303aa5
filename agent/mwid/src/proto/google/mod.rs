//! What Google's packages lend to other people's services.
#![expect(
    unreachable_pub,
    reason = "prost writes pub, and its modules are those of the packages"
)]

#[rustfmt::skip]
pub(crate) mod rpc;

impl std::fmt::Debug for rpc::Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Status(..)")
    }
}
