//! The server, asked as its clients ask it: in the process for what is in an answer, over sockets
//! for limits, slow clients, streams and its end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::cast_possible_truncation, reason = "small whole numbers")]

mod answers;
mod command;
mod edr;
mod etags;
mod feed;
mod fixture;
mod heights;
mod hostile;
mod kept;
mod oracle;
mod sockets;
mod stats;
mod tiles;
mod zarr;
