//! Torture: processes are killed, power is cut, calls of the operating system fail, bits flip,
//! files are hostile, others read meanwhile; and what is promised must hold. Each test takes seeds
//! one after the other for a few seconds, or for as long as `make torture` is told to, and tells
//! how many it has taken. A seed that fails is printed and kept in `seeds.txt`, whose seeds are
//! taken first.
//!
//! Calls of the operating system are intercepted in this very process ([`shim`]), so that nothing
//! has to be preloaded, mounted or built.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod check;
mod dice;
mod flips;
mod hostile;
mod image;
mod kills;
mod live;
mod model;
mod planted;
mod power;
mod seeds;
mod shim;
mod sweep;
mod trace;
mod workload;
