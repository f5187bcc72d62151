//! What is known of marks that cannot be consumed for now.

use std::collections::BTreeSet;

use crate::error::Error;

/// The marks of a grid that could not be consumed when it was tried last.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    /// Their keys.
    pub(crate) marks: BTreeSet<Vec<u8>>,
    /// Why the first of them could not.
    pub(crate) why: Option<Error>,
}
