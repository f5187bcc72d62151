//! What came of an import, whatever the format.

/// What a look at all cells of a file found before any is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Cells that become nodata because they have the grid's nodata value, in a file that declares none.
    pub nodata_cells: u64,
    /// Whether none of its cells has data.
    pub is_blank: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Cells of the files.
    pub cells: u64,
    /// Base chunks written, each once a commit that touches it.
    pub chunks: u64,
    /// Aggregate chunks written, unless the store's policy leaves that for later.
    pub aggregates: u64,
    /// Marks left for aggregation.
    pub marks: u64,
}
