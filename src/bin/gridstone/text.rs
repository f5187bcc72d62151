//! Files of text.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use gridstone::adapter::text::decoded;

/// The text of a file.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let failed = || format!("`{}` cannot be read", path.display());
    text(&std::fs::read(path).with_context(failed)?).with_context(failed)
}

/// The text of standard input.
pub(super) fn read_stdin() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().read_to_end(&mut bytes);
    let failed = "standard input cannot be read";
    read.context(failed)?;
    text(&bytes).context(failed)
}

fn text(bytes: &[u8]) -> anyhow::Result<String> {
    decoded(bytes).context(
        "it is no text in UTF-8 or UTF-16; `iconv -f WINDOWS-1252 -t UTF-8 FILE` makes one",
    )
}
