//! Grids as GeoTIFFs of any size, Cloud Optimized ones whose overviews are levels of the grid.
//!
//! A [`Selection`] is read part by part, its coarsest overview first, and written as it comes. What
//! stands for absent data is one value in the whole file, which no cell with data has in any level:
//! NaN of floats, of integers the grid's nodata value or another that is free; where none is, there
//! are masks. If the grid does not say such a value, all cells are looked at once before.
//!
//! # How overviews lie
//!
//! Overview `n` of a file has the cells of the grid's level `n` above that of the image, as they
//! are, and each covers exactly `2^n` by `2^n` cells of the image. So that this is true at every
//! edge, the image begins and ends at multiples of `2^top` cells, `top` being the number of
//! overviews: it is wider than what was asked for by fewer than `2^top` cells at each side, mostly
//! without data. There are as many overviews as it takes until one fits into a tile, as long as the
//! grid has such levels, and their cells lie so: up to log2(chunk).
//!
//! All images of a file have one type. So level 0 is what the layer makes of single cells, which
//! for `min`, `max`, `mode` and a `mean` of float32 are the cells themselves. Of the base the
//! overviews are of the first aggregator that has its type and its unit; where there is none, it
//! has no overviews.
//!
//! A band is a label of a Fixed dimension, a step of time, or both, the first axis of the grid
//! outermost.

use std::io::{Seek, Write};
use std::path::Path;

use ndarray::Axis;

use super::output::{Side, described, one_mask, placed};
use crate::adapter::export::{
    Cuts, Exported, Marking, PART_BYTES, Part, Planes, Selection, absent,
};
use crate::adapter::file;
use crate::adapter::geotiff::{Band, Compression, Profile, Sheet, Writer};
use crate::array::{Array, Cells, block};
use crate::error::Result;
use crate::grid::{self, Level, Structure, Window};
use crate::kernel::Aggregation;
use crate::reader::{Freshness, Layer};
use crate::store::Grid;

/// How a GeoTIFF is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Make {
    /// [`Compression::Deflate`] unless set; None and Zstd are written too.
    pub compression: Compression,
    /// Rows and columns of a tile, a multiple of 16 up to 4096: 512 unless set.
    pub tile: usize,
    /// How many overviews there are at most; `None` for as many as it takes until one fits into a
    /// tile.
    pub overviews: Option<u8>,
    /// The bytes of cells that are read at a time, if a row of tiles has no more: 32 MiB unless
    /// set. Several times as many are held.
    pub part_bytes: usize,
}

impl Default for Make {
    fn default() -> Self {
        Self {
            compression: Compression::Deflate,
            tile: 512,
            overviews: None,
            part_bytes: PART_BYTES,
        }
    }
}

/// A file that is to be made of a selection.
#[derive(Debug)]
pub struct GeoTiffExport {
    make: Make,
    /// The image, then its overviews.
    images: Vec<Selection>,
    /// What stands for absent data, once it is known.
    marking: Option<Marking>,
}

impl GeoTiffExport {
    /// Finds the overviews, and the cells that the image has for them. No chunk is read.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if the window with what overviews need
    /// leaves the index space, if the file would have too many bands or cells along an axis, if a
    /// tile has no possible size, or if the compression is one that is only read; or an error of
    /// reading the grid.
    pub fn new(selection: &Selection, make: Make) -> Result<Self> {
        let (grid, axes) = (selection.grid(), selection.axes());
        let structure = grid.structure();
        let layer = match selection.layer() {
            Layer::Base => of_base(grid).map(Layer::Aggregate),
            layer => Some(layer.clone()),
        };
        let most = make.overviews.unwrap_or(u8::MAX);
        let top = layer
            .as_ref()
            .map_or(Ok(0), |_| tops(selection, most, make.tile))?;
        let mut images = vec![selection.at(widened(selection, top))];
        structure.check(images[0].window())?;
        if let Some(layer) = layer {
            let base = *images[0].window();
            let of_layer = selection.of_layer(layer)?;
            let mut level = selection.level();
            for _ in 0..top {
                level = level.coarser().unwrap_or(level);
                let levels = selection.levels().with(axes.space, level);
                images.push(of_layer.at(structure.cover(&base, levels)));
            }
        }
        let profile = Profile {
            compression: make.compression,
            tile: make.tile,
            ..Profile::default()
        };
        let export = Self {
            make,
            images,
            marking: None,
        };
        // Before all cells are looked at.
        export.sheet(false).check(&profile)?;
        Ok(export)
    }

    fn sheet(&self, masked: bool) -> Sheet {
        let image = &self.images[0];
        Sheet {
            dtype: image.dtype(),
            bands: image.planes(),
            sizes: self.images.iter().map(Selection::size).collect(),
            masked,
        }
    }

    /// The cells of the image: what was selected, and what overviews need at its edges.
    pub fn window(&self) -> &Window {
        self.images[0].window()
    }

    /// The layers of the image and of its overviews, the finest first.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.images.iter().map(Selection::layer)
    }

    /// How many cells are written, those of overviews included.
    pub fn cells(&self) -> u64 {
        self.images
            .iter()
            .map(Selection::cells)
            .fold(0, u64::saturating_add)
    }

    /// Finds what stands for absent data. Where the grid does not say it, all cells are looked at;
    /// `progress` is told of these. It is not needed before [`write`](Self::write), which does it
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Those of reading the grid.
    pub fn look(&mut self, progress: &dyn Fn(u64)) -> Result<()> {
        if self.marking.is_none() {
            self.marking = Some(self.found(progress)?);
        }
        Ok(())
    }

    fn found(&self, progress: &dyn Fn(u64)) -> Result<Marking> {
        let all: Vec<&Selection> = self.images.iter().collect();
        Selection::marking(&all, (false, self.cells_max()), progress)
    }

    fn cells_max(&self) -> usize {
        self.make.part_bytes / self.images[0].dtype().size()
    }

    /// Writes the file, which appears when it is complete. `progress` is told of cells that were
    /// written.
    ///
    /// # Errors
    ///
    /// Those of reading the grid; [`Invalid`](crate::ErrorKind::Invalid) if every value of the type
    /// stands for data, and bands have data at different places;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it cannot be written. Nothing is left of
    /// the file then.
    pub fn write(&self, path: impl AsRef<Path>, progress: &dyn Fn(u64)) -> Result<Exported> {
        file::replace(path.as_ref(), |out| self.write_to(out, progress))
    }

    /// The same to anything that takes bytes and seeks.
    pub fn write_to(&self, out: impl Write + Seek, progress: &dyn Fn(u64)) -> Result<Exported> {
        let cells_max = self.cells_max();
        let marking = match &self.marking {
            Some(marking) => marking.clone(),
            None => self.found(&|_| {})?,
        };
        let masked = marking.absent && marking.nodata.is_none();
        let profile = self.profile(marking.nodata.clone());
        let mut writer = Writer::new(out, self.sheet(masked), &profile)?;
        let mut exported = Exported::default();
        for (number, of) in self.images.iter().enumerate().rev() {
            for part in parts(of, self.make.tile, masked, cells_max) {
                let planes = of.read(&part)?;
                exported = exported.and(planes.exported);
                put(&mut writer, (number, of, &part), planes, &marking)?;
                let cells: usize = part.iter().map(ExactSizeIterator::len).product();
                progress(cells as u64);
            }
        }
        writer.finish()?;
        Ok(exported)
    }

    fn profile(&self, nodata: Option<Cells>) -> Profile {
        let image = &self.images[0];
        let (window, axes) = (image.window(), image.axes());
        let structure = image.grid().structure();
        let extent = structure.extent(window);
        let names = names(image);
        let unit = image.unit().map(str::to_owned);
        let band = |number: usize| Band {
            description: names.get(number).cloned(),
            unit: unit.clone(),
            ..Band::default()
        };
        Profile {
            affine: placed(structure, axes, |axis, _| {
                Side::Bounds(extent.bounds()[axis], image.len(axis))
            }),
            crs: structure.crs().map(str::to_owned),
            nodata,
            compression: self.make.compression,
            bands: (0..image.planes()).map(band).collect(),
            tile: self.make.tile,
            ..Profile::default()
        }
    }
}

/// The layer that overviews of the base are of.
fn of_base(grid: &Grid) -> Option<Aggregation> {
    let schema = grid.schema();
    let alike = |of: &&Aggregation| {
        schema.layer_dtype(of) == Some(schema.dtype())
            && Layer::Aggregate((*of).clone()).keeps_unit()
            && **of != Aggregation::Sum
    };
    schema.aggregators().iter().find(alike).cloned()
}

/// How many overviews there are.
fn tops(selection: &Selection, most: u8, tile: usize) -> Result<u32> {
    let (grid, axes, from) = (selection.grid(), selection.axes(), selection.level());
    let structure = grid.structure();
    let reached = if selection.freshness_wanted() == Freshness::Fresh {
        grid.top()?.map(|top| top.levels())
    } else {
        grid.reach()?
    };
    let reached = reached.map_or(from, |levels| levels[axes.space]);
    let largest = selection.size().into_iter().max().unwrap_or(1);
    let (mut top, mut level) = (0, from);
    while top < u32::from(most) && largest.div_ceil(1 << top) > tile {
        let next = level.coarser().filter(|next| *next <= reached);
        let Some(next) = next.filter(|next| is_aligned(structure, [axes.y, axes.x], from, *next))
        else {
            break;
        };
        (top, level) = (top + 1, next);
    }
    Ok(top)
}

/// Whether cell 0 of two levels begins at one place.
fn is_aligned(structure: &Structure, axes: [usize; 2], fine: Level, coarse: Level) -> bool {
    axes.iter().all(|axis| {
        let edge = |level: Level| structure.edge(*axis, level, 0);
        edge(fine).total_cmp(&edge(coarse)).is_eq()
    })
}

/// The window with rows and columns that begin and end at multiples of `2^top` cells.
fn widened(selection: &Selection, top: u32) -> Window {
    let (mut window, axes) = (*selection.window(), selection.axes());
    let step = 1_i64 << top.min(32);
    for axis in [axes.y, axes.x] {
        let (start, end) = (window.start()[axis], window.end()[axis]);
        let from = start.div_euclid(step).saturating_mul(step);
        let to = end
            .saturating_add(step - 1)
            .div_euclid(step)
            .saturating_mul(step);
        window = window.along(axis, from, to.abs_diff(from));
    }
    window
}

/// The parts in which an image is read: whole tiles, and all planes where there are masks.
fn parts(of: &Selection, tile: usize, masked: bool, cells_max: usize) -> Vec<Part> {
    let plane = |axis: usize| {
        let cuts = of.cuts(axis);
        if masked {
            Cuts {
                unit: cuts.len.max(1),
                phase: 0,
                soft: false,
                ..cuts
            }
        } else {
            cuts
        }
    };
    let tiles = |len: usize| Cuts {
        len,
        unit: tile,
        phase: 0,
        soft: false,
    };
    let cuts: Vec<Cuts> = of
        .others()
        .into_iter()
        .map(plane)
        .chain(of.size().map(tiles))
        .collect();
    Cuts::parts(&cuts, cells_max)
}

/// Writes a part, absent cells marked.
fn put<W: Write + Seek>(
    writer: &mut Writer<W>,
    (image, of, part): (usize, &Selection, &Part),
    planes: Planes,
    marking: &Marking,
) -> Result<()> {
    let Planes { array, valid, .. } = planes;
    let shape = array.shape().to_vec();
    let mut cells = array.into_cells();
    let mut mask = None;
    match (&marking.nodata, &valid) {
        (Some(mark), _) => {
            let absent = absent(valid.as_ref());
            block::lay(mark.as_bytes(), &absent, cells.as_bytes_mut());
        }
        (None, Some(valid)) => mask = Some(one_mask(of.dtype(), valid)?),
        (None, None) => {}
    }
    let array = Array::from_cells(cells, &shape)?;
    let (rows, cols) = (&part[part.len() - 2], &part[part.len() - 1]);
    // Planes that follow each other in the file as they do in the part.
    let numbers = numbers(of, part);
    let mut from = 0;
    while from < numbers.len() {
        let follow = numbers[from..]
            .iter()
            .zip(numbers[from]..)
            .take_while(|(number, wanted)| **number == *wanted)
            .count();
        let corner = [numbers[from], rows.start, cols.start];
        let run = crate::array::with_view!(Array, &array, |cells| {
            let run = cells.slice_axis(Axis(0), (from..from + follow).into());
            writer.put(image, corner, run, mask)
        });
        run?;
        from += follow;
    }
    Ok(())
}

/// The number of each plane of a part among those of the whole.
fn numbers(of: &Selection, part: &Part) -> Vec<usize> {
    let lens: Vec<usize> = of.others().into_iter().map(|axis| of.len(axis)).collect();
    lens.iter()
        .zip(part)
        .fold(vec![0], |numbers, (len, range)| {
            numbers
                .iter()
                .flat_map(|number| range.clone().map(move |at| number * len + at))
                .collect()
        })
}

/// The names of the planes: labels and times; of a single one without a label what the grid holds.
fn names(of: &Selection) -> Vec<String> {
    let structure = of.grid().structure();
    let along = |axis: usize| -> Vec<String> {
        let (len, start) = (of.len(axis), of.window().start()[axis]);
        let dimension = &structure.dimensions()[structure.dimension_of(axis)];
        if let Some(labels) = dimension.labels() {
            let start = usize::try_from(start).unwrap_or(0);
            return labels.iter().skip(start).take(len).cloned().collect();
        }
        let Some(world) = structure.axes().nth(axis) else {
            return Vec::new();
        };
        match of.ticks(axis) {
            Some(ticks) => ticks.iter().map(|tick| world.shown(*tick)).collect(),
            None => (start..)
                .take(len)
                .map(|cell| shown(structure, world, (axis, of, cell)))
                .collect(),
        }
    };
    let told = |axis: &usize| {
        structure.dimensions()[structure.dimension_of(*axis)].is_fixed() || of.len(*axis) > 1
    };
    let axes: Vec<usize> = of.others().into_iter().filter(told).collect();
    if axes.is_empty() {
        return described(of.grid())
            .map(str::to_owned)
            .into_iter()
            .collect();
    }
    axes.into_iter()
        .map(along)
        .fold(vec![String::new()], |names, next| {
            let longer = |name: &String| {
                let name = name.clone();
                next.iter().map(move |next| {
                    if name.is_empty() {
                        next.clone()
                    } else {
                        format!("{name} {next}")
                    }
                })
            };
            names.iter().flat_map(longer).collect()
        })
}

/// Where a cell of an axis begins, for people.
fn shown(
    structure: &Structure,
    world: &grid::Axis,
    (axis, of, cell): (usize, &Selection, i64),
) -> String {
    let level = of.levels()[structure.dimension_of(axis)];
    let edge = structure.edge(axis, level, cell);
    world
        .time()
        .and_then(|unit| unit.instant(edge))
        .map_or_else(|| edge.to_string(), |at| at.to_string())
}
