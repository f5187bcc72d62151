//! The further directories of a file: the mask of the first image, and images that are not read.

use std::collections::VecDeque;
use std::io::{Read, Seek};

use super::directory::{DIRECTORIES_MAX, Directory, Entry, TiffBytes, tag};
use super::layout::ImageLayout;
use crate::array::DType;
use crate::error::{Error, ErrorKind, Result};

/// What a file has beside its first image.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// The image whose cells above 0 are where the first image's hold data.
    pub(super) mask: Option<ImageLayout>,
    /// How many images in full resolution there are beside the first.
    pub(super) further: usize,
    /// How many images stand behind the first without directories.
    pub(super) behind: u64,
    /// Where the directories of images in full resolution are that stand within others.
    pub(super) within: Vec<u64>,
    /// What cannot be told of further images.
    pub(super) unknown: Vec<String>,
    /// The overviews of the first image, in the order of the file. They are not looked into before
    /// they are asked for.
    pub(super) overviews: Vec<Overview>,
}

/// The directory of an overview, and that of its mask.
#[derive(Clone, Debug)]
pub(super) struct Overview {
    pub(super) size: (u64, u64),
    pub(super) image: Directory,
    pub(super) mask: Option<Directory>,
}

impl Pages {
    /// Looks at the directories behind the first, and at those within them all.
    pub(super) fn read<R: Read + Seek>(
        source: &mut TiffBytes<R>,
        directories: &[Directory],
        first: &ImageLayout,
    ) -> Result<Self> {
        let mut pages = Self::default();
        pages.look_within(source, directories)?;
        pages.look_behind(source, directories)?;
        for directory in directories.iter().skip(1) {
            let [reduced, mask] = kind(source, directory)?;
            if mask && !reduced && pages.mask.is_none() {
                let layout = ImageLayout::read(source, directory)?;
                let fits = (layout.width, layout.height) == (first.width, first.height);
                if !fits || (layout.dtype, layout.bands) != (DType::U8, 1) {
                    return Err(Error::invalid(
                        "the mask in the TIFF has other cells than the image; leave it out with `gdal_translate -mask none FILE PLAIN.tif`",
                    ));
                }
                pages.mask = Some(layout);
            } else if !mask && !reduced {
                pages.further += 1;
            } else if reduced && pages.further == 0 {
                pages.reduced(source, directory, mask)?;
            }
        }
        Ok(pages)
    }

    /// Finds images that stand behind the first without directories: the description tells.
    fn look_behind<R: Read + Seek>(
        &mut self,
        source: &mut TiffBytes<R>,
        directories: &[Directory],
    ) -> Result<()> {
        let [only] = directories else {
            return Ok(());
        };
        let text = match source.text(only, tag::DESCRIPTION) {
            Err(error) if *error.kind() == ErrorKind::Invalid => {
                self.unknown.push(format!(
                    "its description cannot be read ({}), so there may be images behind the first",
                    error.sentence()
                ));
                return Ok(());
            }
            text => text?,
        };
        let mut image = 1_u64;
        for tag in [tag::WIDTH, tag::HEIGHT, tag::SAMPLES_PER_PIXEL] {
            image = image.saturating_mul(source.unsigned_one(only, tag)?.unwrap_or(1));
        }
        self.behind = behind(&text, image);
        Ok(())
    }

    /// Finds the images in full resolution that stand within directories, at whatever depth, each
    /// once.
    fn look_within<R: Read + Seek>(
        &mut self,
        source: &mut TiffBytes<R>,
        directories: &[Directory],
    ) -> Result<()> {
        let mut waiting: VecDeque<Entry> = directories.iter().filter_map(listed).collect();
        let (mut left, mut is_whole) = (DIRECTORIES_MAX as u64, true);
        while let Some(entry) = waiting.pop_front() {
            let count = entry.count.min(left);
            (left, is_whole) = (left - count, is_whole && count == entry.count);
            let places = match source.unsigned(&entry, 0, count) {
                Err(error) if *error.kind() == ErrorKind::Invalid => {
                    is_whole = false;
                    continue;
                }
                places => places?,
            };
            for at in places {
                let mut next = at;
                // A place of 0 is none.
                while next != 0 && !source.has_read(next) {
                    let Some(directory) = source.further(next)? else {
                        is_whole = false;
                        break;
                    };
                    let is_image = directory.get(tag::WIDTH).is_some();
                    match kind(source, &directory) {
                        Ok(kind) if is_image && kind == [false, false] => self.within.push(next),
                        Err(error) if *error.kind() == ErrorKind::Invalid => is_whole = false,
                        kind => {
                            kind?;
                        }
                    }
                    next = directory.next;
                    waiting.extend(listed(&directory));
                }
            }
        }
        self.unknown.extend((!is_whole).then(|| {
            "the lists of images within its directories (SubIFDs) are damaged or too long, so there may be more than can be seen".to_owned()
        }));
        Ok(())
    }

    /// Keeps an overview, or gives a mask to the one of its size. One that is damaged is left out:
    /// the image can be read without it.
    fn reduced<R: Read + Seek>(
        &mut self,
        source: &mut TiffBytes<R>,
        directory: &Directory,
        mask: bool,
    ) -> Result<()> {
        let mut number = |tag| match source.unsigned_one(directory, tag) {
            Err(error) if *error.kind() == ErrorKind::Invalid => Ok(None),
            found => found,
        };
        let Some(size) = number(tag::WIDTH)?.zip(number(tag::HEIGHT)?) else {
            return Ok(());
        };
        if !mask {
            self.overviews.push(Overview {
                size,
                image: directory.clone(),
                mask: None,
            });
        } else if let Some(of) = self.overviews.iter_mut().find(|of| of.size == size) {
            of.mask = Some(directory.clone());
        }
        Ok(())
    }

    /// What is to be said of images that are not read.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let beside = (self.further > 0).then(|| {
            let others = match self.further {
                1 => "the other one is not".to_owned(),
                many => format!("the other {many} are not"),
            };
            format!(
                "the file has {} images, and the first is read; {others}: make a file of each with `gdal_translate GTIFF_DIR:N:FILE IMAGE.tif`, where N counts from 1",
                self.further + 1
            )
        });
        let within = self.within.first().map(|at| {
            let images = match self.within.len() {
                1 => "an image in full resolution, which is".to_owned(),
                many => format!("{many} images in full resolution, which are"),
            };
            format!(
                "within its directories (SubIFDs) the file has {images} not read; make a file of the first of them with `gdal_translate GTIFF_DIR:off:{at}:FILE IMAGE.tif`"
            )
        });
        let behind = (self.behind > 0).then(|| {
            format!(
                "the file has {} images, of which only the first has a directory, and is read; the others are not: make a file of each with `python3 -c \"import tifffile as t; [t.imwrite(f'IMAGE-{{n}}.tif', image) for n, image in enumerate(t.imread('FILE'))]\"`",
                self.behind + 1
            )
        });
        let told = [beside, within, behind].into_iter().flatten();
        told.chain(self.unknown.iter().cloned())
    }
}

/// How many images stand behind the first without directories, as ImageJ and tifffile write large
/// stacks, by the text of a description; `image` is how many cells the first has.
fn behind(text: &str, image: u64) -> u64 {
    let number = |from: &str| {
        let digits = from.trim_start().split(|c: char| !c.is_ascii_digit());
        digits.into_iter().next()?.parse::<u64>().ok()
    };
    if text.starts_with("ImageJ=") {
        let count = text
            .lines()
            .find_map(|line| number(line.strip_prefix("images=")?));
        return count.unwrap_or(1).saturating_sub(1);
    }
    // {"shape": [5, 8, 12], "truncated": true}
    let shape = text
        .split_once("\"shape\": [")
        .filter(|_| text.contains("\"truncated\": true"));
    let lengths = shape.and_then(|(_, rest)| rest.split(']').next());
    let Some(lengths) = lengths else {
        return 0;
    };
    let all = lengths
        .split(',')
        .filter_map(number)
        .fold(1, u64::saturating_mul);
    (all / image.max(1)).saturating_sub(1)
}

/// Where a directory lists those that stand within it.
fn listed(directory: &Directory) -> Option<Entry> {
    directory.get(tag::SUB_DIRECTORIES).copied()
}

/// Whether the image of a directory is one in less resolution, and whether it is a mask.
fn kind<R: Read + Seek>(source: &mut TiffBytes<R>, directory: &Directory) -> Result<[bool; 2]> {
    let kind = match source.unsigned_one(directory, tag::NEW_SUBFILE_TYPE)? {
        Some(kind) => kind,
        // The older tag counts from 1.
        None => u64::from(source.unsigned_one(directory, tag::SUBFILE_TYPE)? == Some(2)),
    };
    Ok([kind & 1 != 0, kind & 4 != 0])
}
