//! What changed in a source.

use crate::error::{ErrorKind, Result};
use crate::feed::{self, Token};
use crate::grid::Window;
use crate::store::Grid;

/// Boxes that are kept apart, at most.
const BOXES_MAX: usize = 1 << 14;

/// What changed in a source since it was copied last.
pub(super) struct SourceNews {
    /// The place in its feed behind all this.
    pub(super) to: Token,
    /// Where, in cells of the source; `None` if it must be copied as a whole.
    pub(super) boxes: Option<Vec<Window>>,
    /// How many commits changed its base data.
    pub(super) changes: u64,
}

impl SourceNews {
    /// What came after a place in the source's feed; everything if that is gone, or of another
    /// grid.
    pub(super) fn of(source: &Grid, upto: Option<&Token>) -> Result<Self> {
        if let Some(upto) = upto {
            match Self::since(source, upto) {
                Err(error) if *error.kind() == ErrorKind::Expired => {}
                other => return other,
            }
        }
        Ok(Self {
            to: source.changes_token()?,
            boxes: None,
            changes: 0,
        })
    }

    fn since(source: &Grid, upto: &Token) -> Result<Self> {
        let (mut boxes, mut changes, mut to) = (Vec::new(), 0, upto.clone());
        loop {
            let page = source.changes_since(&to)?;
            for change in page
                .changes
                .into_iter()
                .filter(|change| !change.base.is_empty())
            {
                changes += 1;
                boxes.extend(change.base);
            }
            boxes.sort_unstable();
            boxes.dedup();
            if boxes.len() > BOXES_MAX {
                boxes = feed::few(source.structure(), boxes);
            }
            to = page.next;
            if !page.more {
                return Ok(Self {
                    to,
                    boxes: Some(boxes),
                    changes,
                });
            }
        }
    }

    /// Everything instead.
    pub(super) fn follow_all(&mut self) {
        (self.boxes, self.changes) = (None, 0);
    }
}
