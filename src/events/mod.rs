//! Events of an irregular dimension: how they are kept, found and changed.
//!
//! What a grid holds at one place of all other dimensions is a *column*. Its events lie in *buckets*,
//! the places along the irregular dimension at the level of the expected spacing. A bucket of at
//! most `capacity` events is one chunk. A fuller one is the bucket trie of its ticks: it is halved,
//! and each half again, until it holds at most `capacity` events; so the chunks that there are
//! depend on the ticks alone, not on the order in which they came. What is halved is a *branch*:
//! the directory has an entry for it, and the layers have its bins.
//!
//! To all that lies above, a bucket is one chunk: every level of the pyramid but the events
//! themselves is as regular as that of a regular dimension. Along the other dimensions events are
//! aggregated tick by tick, over the ticks that any of the columns has; along the irregular
//! dimension, which is derived last, the bins of a bucket are halved as any cells are.

mod bins;
mod change;
mod column;
mod merge;
mod planes;
mod stored;
mod trie;

pub(crate) use change::EventChange;
pub(crate) use column::{BucketNode, Column, first, reach};
pub(crate) use merge::{EventPart, merge, merge_all, ticks_of};
pub(crate) use planes::{EventPlanes, Events, irregular, slabs};
pub(crate) use trie::Trie;
