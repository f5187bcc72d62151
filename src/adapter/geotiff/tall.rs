//! Strips that are too large to be held: they are decompressed in parts, from top to bottom.

use std::io::{Read, Seek};

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder as Zstd, InBuffer, Operation, OutBuffer};

use super::directory::TiffBytes;
use super::layout::{ByteSpan, Compression};
use crate::error::{Error, Result};

/// Bytes of the file that are read at a time.
const INPUT_BYTES: u64 = 1 << 20;

/// Strips whose decompression goes on, at most: one a band.
const STRIPS_MAX: usize = 64;

/// Where the decompression of strips has come to.
#[derive(Default)]
pub(super) struct Tall {
    strips: Vec<TallStrip>,
}

impl std::fmt::Debug for Tall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(
                self.strips
                    .iter()
                    .map(|strip| (strip.offset, strip.produced)),
            )
            .finish()
    }
}

struct TallStrip {
    offset: u64,
    /// The rest of the strip in the file: where it begins, and how long it is.
    rest: (u64, u64),
    stream: Stream,
    /// What was read of the file and not yet decompressed.
    input: Vec<u8>,
    used: usize,
    /// Bytes decompressed so far.
    produced: u64,
}

enum Stream {
    None,
    Deflate(Decompress),
    Zstd(Box<Zstd<'static>>),
    Lzw(weezl::decode::Decoder),
    PackBits(PackRun),
}

/// What is left of a run of PackBits.
#[derive(Clone, Copy, Debug)]
enum PackRun {
    /// The next byte is a head.
    Head,
    /// So many bytes stand in the file.
    Literal(usize),
    /// The next byte is repeated so many times.
    Repeated(usize),
    /// A byte, and how many times it is still to come.
    Repeat(u8, usize),
}

impl Tall {
    /// The decompressed bytes of a part of a strip, at most `len`. Parts in turn go on where the
    /// last ended; one before starts the strip anew.
    pub(super) fn read<R: Read + Seek>(
        &mut self,
        source: &mut TiffBytes<R>,
        compression: Compression,
        extent: ByteSpan,
        len: usize,
    ) -> Result<Vec<u8>> {
        if compression == Compression::None {
            let left = extent.len.saturating_sub(extent.skip).min(len as u64);
            return source.bytes(extent.offset + extent.skip, left, "a part of a strip");
        }
        let known = self
            .strips
            .iter()
            .position(|strip| strip.offset == extent.offset);
        let known = known
            .map(|at| self.strips.remove(at))
            .filter(|strip| strip.produced <= extent.skip);
        let mut strip = known.map_or_else(|| TallStrip::new(compression, extent), Ok)?;
        let mut skipped = vec![
            0;
            if strip.produced < extent.skip {
                1 << 16
            } else {
                0
            }
        ];
        while strip.produced < extent.skip {
            let step = usize::try_from(extent.skip - strip.produced)
                .unwrap_or(usize::MAX)
                .min(skipped.len());
            if strip.fill(source, &mut skipped[..step])? < step {
                return Err(Error::invalid("a strip ends before its rows do"));
            }
        }
        let mut bytes = vec![0; len];
        let got = strip.fill(source, &mut bytes)?;
        bytes.truncate(got);
        self.strips.truncate(STRIPS_MAX - 1);
        self.strips.insert(0, strip);
        Ok(bytes)
    }
}

impl TallStrip {
    fn new(compression: Compression, extent: ByteSpan) -> Result<Self> {
        let stream = match compression {
            Compression::Deflate => Stream::Deflate(Decompress::new(true)),
            Compression::Zstd => Stream::Zstd(Box::new(Zstd::new().map_err(|cause| {
                Error::unavailable("a strip cannot be decompressed").because(cause)
            })?)),
            Compression::Lzw => Stream::Lzw(
                weezl::decode::Configuration::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
                    .with_yield_on_full_buffer(true)
                    .build(),
            ),
            Compression::PackBits => Stream::PackBits(PackRun::Head),
            _ => Stream::None,
        };
        let rest = (extent.offset, extent.len);
        Ok(Self {
            offset: extent.offset,
            rest,
            stream,
            input: Vec::new(),
            used: 0,
            produced: 0,
        })
    }

    /// Fills as much of `out` as the strip still has.
    fn fill<R: Read + Seek>(&mut self, source: &mut TiffBytes<R>, out: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        while written < out.len() {
            if self.used == self.input.len() && self.rest.1 > 0 {
                let len = self.rest.1.min(INPUT_BYTES);
                self.input = source.bytes(self.rest.0, len, "a part of a strip")?;
                (self.used, self.rest) = (0, (self.rest.0 + len, self.rest.1 - len));
            }
            let (consumed, produced, ended) = self
                .stream
                .step(&self.input[self.used..], &mut out[written..])?;
            self.used += consumed;
            written += produced;
            if ended
                || consumed + produced == 0 && (self.used < self.input.len() || self.rest.1 == 0)
            {
                break;
            }
        }
        self.produced += written as u64;
        Ok(written)
    }
}

impl Stream {
    /// Decompresses some of the input: bytes consumed, bytes produced, and whether the stream has
    /// ended.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize, bool)> {
        let damaged = |name: &str| Error::invalid(format!("a strip is not valid {name} data"));
        match self {
            Stream::None => Ok((0, 0, true)),
            Stream::Deflate(stream) => {
                let (before_in, before_out) = (stream.total_in(), stream.total_out());
                let status = stream
                    .decompress(input, out, FlushDecompress::None)
                    .map_err(|cause| damaged("Deflate").because(cause))?;
                let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
                let (used, made) = (
                    count(stream.total_in() - before_in),
                    count(stream.total_out() - before_out),
                );
                Ok((used, made, status == Status::StreamEnd))
            }
            Stream::Zstd(stream) => {
                let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(out));
                let hint = stream
                    .run(&mut from, &mut to)
                    .map_err(|cause| damaged("Zstandard").because(cause))?;
                Ok((from.pos, to.pos(), hint == 0))
            }
            Stream::Lzw(stream) => {
                let step = stream.decode_bytes(input, out);
                let ended = match step.status {
                    Ok(weezl::LzwStatus::Done) => true,
                    Ok(_) => false,
                    Err(cause) => return Err(damaged("LZW").because(cause)),
                };
                Ok((step.consumed_in, step.consumed_out, ended))
            }
            Stream::PackBits(run) => Ok(run.step(input, out)),
        }
    }
}

impl PackRun {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> (usize, usize, bool) {
        let (mut used, mut made) = (0, 0);
        loop {
            match *self {
                PackRun::Repeat(value, left) => {
                    let len = left.min(out.len() - made);
                    out[made..made + len].fill(value);
                    made += len;
                    *self = if len == left {
                        PackRun::Head
                    } else {
                        PackRun::Repeat(value, left - len)
                    };
                    if len < left {
                        break;
                    }
                }
                PackRun::Literal(left) => {
                    let len = left.min(input.len() - used).min(out.len() - made);
                    out[made..made + len].copy_from_slice(&input[used..used + len]);
                    (used, made) = (used + len, made + len);
                    *self = if len == left {
                        PackRun::Head
                    } else {
                        PackRun::Literal(left - len)
                    };
                    if len < left {
                        break;
                    }
                }
                PackRun::Head | PackRun::Repeated(_) => {
                    let Some(byte) = input.get(used).copied() else {
                        break;
                    };
                    used += 1;
                    *self = match (*self, byte) {
                        (PackRun::Repeated(len), value) => PackRun::Repeat(value, len),
                        (_, 0..=127) => PackRun::Literal(usize::from(byte) + 1),
                        (_, 128) => PackRun::Head,
                        (_, 129..=255) => PackRun::Repeated(257 - usize::from(byte)),
                    };
                }
            }
        }
        (used, made, false)
    }
}
