//! `gridstone bench`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::structure::CodecName;
use super::terminal::Terminal;
use super::{VerbOutcome, args, bench};

/// Time the workload that other systems are measured on
///
/// The workload is a folder that the comparison writes: base.f32, rain.f32, patches.f32,
/// patches.json, windows.json, shape.json. Prints one line of JSON.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone bench workload --work /var/tmp --chunk 256")]
pub(super) struct Bench {
    /// The folder of the workload
    dir: PathBuf,
    /// Where to make the store, which is removed afterwards
    #[arg(long, value_name = "DIR", default_value = ".")]
    work: PathBuf,
    /// Rows and columns of a chunk, a power of two
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = args::chunk)]
    chunk: u32,
    /// Time steps, and rows and columns, of a chunk of the growing series
    #[arg(long, value_name = "T,N", default_value = "4,64")]
    rain_chunk: args::ChunkSize,
    /// What speed is traded for
    #[arg(long, value_name = "CODEC", default_value = "fast")]
    codec: CodecName,
}

impl Bench {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let rain_chunk = [self.rain_chunk.time.unwrap_or(4), self.rain_chunk.space];
        let figures = bench::run(
            &self.dir,
            &self.work,
            self.chunk,
            rain_chunk,
            self.codec.into(),
        )?;
        terminal.print(serde_json::to_string(&figures)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
