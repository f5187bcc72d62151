//! The further directories of a file: the mask of the first image, and images that are not read.

use std::io::{Read, Seek};

use super::directory::{DIRECTORIES_MAX, Directory, TiffBytes, tag};
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
        let mut pages = Self {
            within: within(source, directories)?,
            behind: behind(source, directories)?,
            ..Self::default()
        };
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
        [beside, within, behind].into_iter().flatten()
    }
}

/// How many images stand behind the first without directories, as ImageJ and tifffile write large
/// stacks: the description tells.
fn behind<R: Read + Seek>(source: &mut TiffBytes<R>, directories: &[Directory]) -> Result<u64> {
    let [only] = directories else {
        return Ok(0);
    };
    let text = source.text(only, tag::DESCRIPTION)?;
    let number = |from: &str| {
        let digits = from.trim_start().split(|c: char| !c.is_ascii_digit());
        digits.into_iter().next()?.parse::<u64>().ok()
    };
    if text.starts_with("ImageJ=") {
        let count = text
            .lines()
            .find_map(|line| number(line.strip_prefix("images=")?));
        return Ok(count.unwrap_or(1).saturating_sub(1));
    }
    // {"shape": [5, 8, 12], "truncated": true}
    let shape = text
        .split_once("\"shape\": [")
        .filter(|_| text.contains("\"truncated\": true"));
    let lengths = shape.and_then(|(_, rest)| rest.split(']').next());
    let Some(lengths) = lengths else {
        return Ok(0);
    };
    let all = lengths
        .split(',')
        .filter_map(number)
        .fold(1, u64::saturating_mul);
    let one = |tag| -> Result<u64> { Ok(source.unsigned_one(only, tag)?.unwrap_or(1)) };
    let [width, height, bands] = [tag::WIDTH, tag::HEIGHT, tag::SAMPLES_PER_PIXEL].map(one);
    let image = width?.saturating_mul(height?).saturating_mul(bands?);
    Ok((all / image.max(1)).saturating_sub(1))
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

/// Where the images in full resolution are that stand within directories. What cannot be read there
/// is no image.
fn within<R: Read + Seek>(
    source: &mut TiffBytes<R>,
    directories: &[Directory],
) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for directory in directories {
        let listed = match source.unsigned_list(directory, tag::SUB_DIRECTORIES) {
            Err(error) if *error.kind() == ErrorKind::Invalid => Vec::new(),
            listed => listed?,
        };
        for at in listed.into_iter().take(DIRECTORIES_MAX) {
            let is_full = |source: &mut TiffBytes<R>| {
                let directory = source.directory(at)?;
                let is_image = directory.get(tag::WIDTH).is_some();
                Ok(is_image && kind(source, &directory)? == [false, false])
            };
            match is_full(source) {
                Ok(true) => found.push(at),
                Ok(false) => {}
                Err(error) if Error::kind(&error) == &ErrorKind::Invalid => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}
