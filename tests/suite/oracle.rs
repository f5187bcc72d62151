//! What a grid must hold, by the plainest means: a map of the valid base cells, and every level
//! computed anew from it.
//!
//! Nothing here calls the engine's kernels. Cells are named by their position on the unsigned line
//! of their level, on which parents are halves: `code(l, i) = i + floor(2^w / 3)` with
//! `w = 40 - l`, times the cells of a chunk.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::rc::Rc;

use gridstone::array::Cell;
use gridstone::grid::DimensionKind;
use gridstone::{Aggregation, Array, DType, Depth, Schema, Window};
use ndarray::{ArrayD, IxDyn};

/// The line positions of a cell, one an axis.
pub type Place = Vec<i64>;
/// Valid cells: value and weight.
pub type Cells = BTreeMap<Place, (f64, f64)>;
/// What an aggregation makes of the base cells under a cell.
type OfFamily = dyn Fn(&[(Place, f64)]) -> f64;
/// The base cells under each cell.
pub type Families = BTreeMap<Place, Vec<(Place, f64)>>;

#[derive(Clone, Debug)]
struct Dim {
    axes: Range<usize>,
    fixed: bool,
    depth: Option<u8>,
    chunks: Vec<i64>,
}

/// A grid as it must be.
#[derive(Clone, Debug)]
pub struct Oracle {
    schema: Schema,
    dims: Vec<Dim>,
    /// Levelled dimensions, the refinable one first.
    order: Vec<usize>,
    /// The levels at which cells are kept: at most those of any base data.
    ground: Vec<i8>,
    /// The finest and the coarsest levels of base data.
    base: Vec<i8>,
    coarsest: Vec<i8>,
    cells: BTreeMap<Place, f64>,
    /// The box of all that was put, in cells of the ground: first and last line position along each
    /// axis.
    bounds: Option<Vec<(i64, i64)>>,
    computed: HashMap<(Aggregation, Vec<i8>), Rc<Cells>>,
    grouped: HashMap<Vec<i8>, Rc<Families>>,
    /// The cells in the order in which a cascade meets them.
    ordered: Vec<(Place, f64)>,
}

fn zero(chunk: i64, level: i8) -> i64 {
    let zero = ((1_i64 << 40) / 3) * chunk;
    if level >= 0 {
        zero >> level
    } else {
        zero << -level
    }
}

/// An array of a cell type from doubles that the type holds exactly.
pub fn array(dtype: DType, shape: &[usize], values: &[f64]) -> Array {
    fn of<T: Cell>(shape: &[usize], values: &[f64]) -> ArrayD<T> {
        let cells = values.iter().map(|&value| {
            let cell = T::from_f64(value);
            assert!(
                cell.to_f64() == value || value.is_nan() && cell.is_nan(),
                "{value} is no {}",
                T::DTYPE
            );
            cell
        });
        ArrayD::from_shape_vec(IxDyn(shape), cells.collect()).unwrap()
    }
    match dtype {
        DType::U8 => of::<u8>(shape, values).into(),
        DType::I8 => of::<i8>(shape, values).into(),
        DType::U16 => of::<u16>(shape, values).into(),
        DType::I16 => of::<i16>(shape, values).into(),
        DType::U32 => of::<u32>(shape, values).into(),
        DType::I32 => of::<i32>(shape, values).into(),
        DType::U64 => of::<u64>(shape, values).into(),
        DType::I64 => of::<i64>(shape, values).into(),
        DType::F32 => of::<f32>(shape, values).into(),
        DType::F64 => of::<f64>(shape, values).into(),
    }
}

/// The population variance, in two passes.
pub fn variance(family: &[(Place, f64)]) -> f64 {
    let count = family.len() as f64;
    let mean = family.iter().map(|(_, value)| value).sum::<f64>() / count;
    family
        .iter()
        .map(|(_, value)| (value - mean) * (value - mean))
        .sum::<f64>()
        / count
}

/// The most frequent class, the lowest of equal ones, and how many classes there are. Equal classes
/// stand as the first is met.
pub fn mode(family: &[(Place, f64)]) -> (f64, usize) {
    let mut counts: Vec<(f64, usize)> = Vec::new();
    for (_, value) in family {
        match counts.iter_mut().find(|(class, _)| class == value) {
            Some((_, count)) => *count += 1,
            None => counts.push((*value, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap();
    let classes = counts
        .iter()
        .filter(|(_, count)| *count == most)
        .map(|(class, _)| *class);
    (
        classes.reduce(|a, b| if b < a { b } else { a }).unwrap(),
        counts.len(),
    )
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to a float32 is what is meant"
)]
fn round(dtype: DType, value: f64) -> f64 {
    if dtype == DType::F32 {
        f64::from(value as f32)
    } else {
        value
    }
}

/// Every index of a box, last axis fastest.
pub fn indices(shape: &[u64]) -> impl Iterator<Item = Vec<i64>> + use<> {
    let shape = shape.to_vec();
    let count: u64 = shape.iter().product();
    (0..count).map(move |mut number| {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = i64::try_from(number % shape[axis]).unwrap();
            number /= shape[axis];
        }
        index
    })
}

impl Oracle {
    /// An empty grid whose base data is at the levels `base`.
    pub fn new(schema: &Schema, base: &[i8]) -> Self {
        Self::with_ground(schema, base, base)
    }

    /// An empty grid whose first base data is at the levels `base`, and none ever finer than the
    /// levels `ground`.
    pub fn with_ground(schema: &Schema, base: &[i8], ground: &[i8]) -> Self {
        let structure = schema.structure();
        let mut start = 0;
        let dims: Vec<Dim> = structure
            .dimensions()
            .iter()
            .map(|dimension| {
                let axes = start..start + dimension.axes().len();
                start = axes.end;
                let depth = match dimension.kind() {
                    DimensionKind::Regular {
                        depth: Depth::Levels(most),
                        ..
                    } => Some(*most),
                    _ => None,
                };
                let chunks = dimension
                    .axes()
                    .iter()
                    .map(|axis| i64::from(axis.chunk()))
                    .collect();
                Dim {
                    axes,
                    fixed: dimension.is_fixed(),
                    depth,
                    chunks,
                }
            })
            .collect();
        let mut order: Vec<usize> = (0..dims.len()).filter(|&d| !dims[d].fixed).collect();
        order.sort_by_key(|&d| !structure.dimensions()[d].is_refinable());
        Self {
            schema: schema.clone(),
            dims,
            order,
            ground: ground.to_vec(),
            base: base.to_vec(),
            coarsest: base.to_vec(),
            cells: BTreeMap::new(),
            bounds: None,
            computed: HashMap::new(),
            grouped: HashMap::new(),
            ordered: Vec::new(),
        }
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    pub fn base(&self) -> &[i8] {
        &self.base
    }

    fn rank(&self) -> usize {
        self.dims.iter().map(|d| d.axes.len()).sum()
    }

    fn zeros(&self, levels: &[i8]) -> Place {
        let zeros = self.dims.iter().zip(levels).flat_map(|(dim, &level)| {
            dim.chunks
                .iter()
                .map(move |&chunk| if dim.fixed { 0 } else { zero(chunk, level) })
        });
        zeros.collect()
    }

    /// Whether a value is data.
    pub fn is_valid(&self, value: f64) -> bool {
        !value.is_nan() && Some(value) != self.schema.nodata()
    }

    /// Puts values into a window at the base levels.
    pub fn put(&mut self, start: &[i64], shape: &[u64], values: &[f64], replace: bool) {
        self.put_at(&self.base.clone(), start, shape, values, replace);
    }

    /// Puts values into a window at some levels, which differ from those of other puts in the
    /// refinable dimension only.
    pub fn put_at(
        &mut self,
        levels: &[i8],
        start: &[i64],
        shape: &[u64],
        values: &[f64],
        replace: bool,
    ) {
        self.computed.clear();
        self.grouped.clear();
        self.ordered.clear();
        let zeros = self.zeros(levels);
        let up = self.ups(levels);
        let fine: Vec<u64> = up.iter().map(|up| 1 << up).collect();
        for (index, &value) in indices(shape).zip(values) {
            for within in indices(&fine) {
                let place: Place = (0..start.len())
                    .map(|axis| {
                        ((start[axis] + index[axis] + zeros[axis]) << up[axis]) + within[axis]
                    })
                    .collect();
                if self.is_valid(value) {
                    self.cells.insert(place, value);
                } else if replace {
                    self.cells.remove(&place);
                }
            }
        }
        let put = (0..start.len()).map(|axis| {
            let first = start[axis] + zeros[axis];
            (
                first << up[axis],
                ((first + i64::try_from(shape[axis]).unwrap()) << up[axis]) - 1,
            )
        });
        let put: Vec<(i64, i64)> = put.collect();
        let first = self.bounds.is_none();
        self.bounds = Some(match self.bounds.take() {
            None => put,
            Some(old) => old
                .iter()
                .zip(&put)
                .map(|(a, b)| (a.0.min(b.0), a.1.max(b.1)))
                .collect(),
        });
        for (d, &level) in levels.iter().enumerate() {
            self.base[d] = if first {
                level
            } else {
                self.base[d].min(level)
            };
            self.coarsest[d] = if first {
                level
            } else {
                self.coarsest[d].max(level)
            };
        }
    }

    /// Removes all data from a window at some levels. With `shrink`, bounds end where the window
    /// cuts off one of their sides.
    pub fn clear_at(&mut self, levels: &[i8], start: &[i64], shape: &[u64], shrink: bool) {
        self.computed.clear();
        self.grouped.clear();
        self.ordered.clear();
        let (zeros, up) = (self.zeros(levels), self.ups(levels));
        let cut: Vec<(i64, i64)> = (0..start.len())
            .map(|axis| {
                let first = start[axis] + zeros[axis];
                (
                    first << up[axis],
                    ((first + i64::try_from(shape[axis]).unwrap()) << up[axis]) - 1,
                )
            })
            .collect();
        self.cells.retain(|place, _| {
            place
                .iter()
                .zip(&cut)
                .any(|(at, (first, last))| at < first || at > last)
        });
        let coarse = levels
            .iter()
            .zip(&self.base)
            .all(|(level, base)| level >= base);
        if shrink && coarse {
            shrunk(&mut self.bounds, &cut);
        }
    }

    /// Takes over what a grid says of its levels, and its bounds if they are given, having checked
    /// that no cell is outside.
    pub fn adopt(&mut self, used: &[Vec<i8>], bounds: Option<Option<(Vec<i64>, Vec<u64>)>>) {
        let Some((finest, coarsest)) = used.first().zip(used.last()) else {
            assert!(self.cells.is_empty(), "no levels, but data");
            self.bounds = None;
            return;
        };
        assert!(
            finest
                .iter()
                .zip(&self.ground)
                .all(|(level, ground)| level >= ground)
        );
        (self.base, self.coarsest) = (finest.clone(), coarsest.clone());
        let Some(Some((start, shape))) = bounds else {
            return;
        };
        let (zeros, up) = (self.zeros(finest), self.ups(finest));
        let held: Vec<(i64, i64)> = (0..start.len())
            .map(|axis| {
                let first = start[axis] + zeros[axis];
                (
                    first << up[axis],
                    ((first + i64::try_from(shape[axis]).unwrap()) << up[axis]) - 1,
                )
            })
            .collect();
        let inside = |place: &Place| {
            place
                .iter()
                .zip(&held)
                .all(|(at, (first, last))| first <= at && at <= last)
        };
        assert!(
            self.cells.keys().all(inside),
            "data outside of the bounds {held:?}"
        );
        self.bounds = Some(held);
    }

    /// How many levels the ground is below some levels, one number an axis.
    fn ups(&self, levels: &[i8]) -> Vec<i8> {
        let of_axes =
            |(dim, (&level, &ground)): (&Dim, (&i8, &i8))| vec![level - ground; dim.axes.len()];
        self.dims
            .iter()
            .zip(levels.iter().zip(&self.ground))
            .flat_map(of_axes)
            .collect()
    }

    /// The window of all that was put, at some levels: first cell and shape.
    pub fn bounds(&self, levels: &[i8]) -> Option<(Vec<i64>, Vec<u64>)> {
        let (bounds, zeros) = (self.bounds.as_ref()?, self.zeros(levels));
        let mut window = (Vec::new(), Vec::new());
        for (dim, (&level, &ground)) in self.dims.iter().zip(levels.iter().zip(&self.ground)) {
            for axis in dim.axes.clone() {
                let (first, last) = (
                    bounds[axis].0 >> (level - ground),
                    bounds[axis].1 >> (level - ground),
                );
                window.0.push(first - zeros[axis]);
                window.1.push(u64::try_from(last - first + 1).unwrap());
            }
        }
        Some(window)
    }

    /// The level of each dimension at which one chunk covers all that was put, or the declared
    /// depth ends.
    pub fn top(&self) -> Option<Vec<i8>> {
        let up = self.ups(&self.base);
        let bounds: Vec<(i64, i64)> = self
            .bounds
            .as_ref()?
            .iter()
            .zip(&up)
            .map(|((first, last), up)| (first >> up, last >> up))
            .collect();
        let level = |((dim, &base), &coarsest): ((&Dim, &i8), &i8)| {
            if dim.fixed {
                return 0;
            }
            let one_chunk = |up: i8| {
                dim.axes.clone().zip(&dim.chunks).all(|(axis, chunk)| {
                    // Zeros of the line are multiples of a chunk at every level up to the base's
                    // own.
                    bounds[axis].0.div_euclid(*chunk) >> up
                        == bounds[axis].1.div_euclid(*chunk) >> up
                })
            };
            let up = (0..60).find(|&up| one_chunk(up)).unwrap();
            let one_chunk = (base + up).max(coarsest);
            dim.depth.map_or(one_chunk, |most| {
                one_chunk.min(coarsest + i8::try_from(most).unwrap())
            })
        };
        Some(
            self.dims
                .iter()
                .zip(&self.base)
                .zip(&self.coarsest)
                .map(level)
                .collect(),
        )
    }

    /// Every vector of levels from the base to the top.
    pub fn lattice(&self) -> Vec<Vec<i8>> {
        let Some(top) = self.top() else {
            return Vec::new();
        };
        let mut all = vec![Vec::new()];
        for (&base, &top) in self.base.iter().zip(&top) {
            all = all
                .into_iter()
                .flat_map(|levels: Vec<i8>| (base..=top).map(move |l| [&levels[..], &[l]].concat()))
                .collect();
        }
        all
    }

    /// Whether every levelled dimension has one base level, so that sums and counts are whole
    /// numbers of cells.
    fn tallies(&self) -> bool {
        !self
            .schema
            .structure()
            .dimensions()
            .iter()
            .any(gridstone::Dimension::is_refinable)
    }

    pub fn dtype(&self, layer: Option<&Aggregation>) -> DType {
        let base = self.schema.dtype();
        let small = matches!(
            base,
            DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::F32
        );
        match layer {
            None | Some(Aggregation::Min | Aggregation::Max | Aggregation::Sample) => base,
            Some(Aggregation::Mean) if small => DType::F32,
            Some(Aggregation::Sum) if self.tallies() && !base.is_float() => {
                if matches!(base, DType::U8 | DType::U16 | DType::U32 | DType::U64) {
                    DType::U64
                } else {
                    DType::I64
                }
            }
            Some(Aggregation::Count) if self.tallies() => DType::U64,
            Some(
                Aggregation::Mode { .. } | Aggregation::First { .. } | Aggregation::Last { .. },
            ) => base,
            Some(_) => DType::F64,
        }
    }

    /// What stands in a cell of a layer without data.
    pub fn fill(&self, layer: Option<&Aggregation>) -> f64 {
        match layer {
            Some(Aggregation::Count) => 0.0,
            Some(_) if self.dtype(layer).is_float() => f64::NAN,
            None if self.schema.dtype().is_float() => f64::NAN,
            // A sum can be the nodata value.
            Some(Aggregation::Sum)
                if self.schema.nodata().is_some() && self.dtype(layer) == DType::I64 =>
            {
                i64::MIN.to_f64()
            }
            Some(Aggregation::Sum) if self.schema.nodata().is_some() => u64::MAX.to_f64(),
            _ => self.schema.nodata().unwrap_or(0.0),
        }
    }

    /// The area of a cell of the ground in level-0 cells.
    fn full(&self) -> f64 {
        self.dims
            .iter()
            .zip(&self.ground)
            .map(|(dim, &base)| (f64::from(base) * dim.axes.len() as f64).exp2())
            .product()
    }

    /// The valid cells of a layer at some levels: from all base cells under each where its meaning
    /// says it in one step, else by repeating the cascade from the base.
    pub fn layer(&mut self, layer: &Aggregation, levels: &[i8]) -> Rc<Cells> {
        let key = (layer.clone(), levels.to_vec());
        if let Some(cells) = self.computed.get(&key) {
            return Rc::clone(cells);
        }
        if let Some(cells) = self.dense(layer, levels) {
            let cells = Rc::new(cells);
            self.computed.insert(key, Rc::clone(&cells));
            return cells;
        }
        let derived = self
            .order
            .iter()
            .rev()
            .copied()
            .find(|&d| levels[d] > self.ground[d]);
        let cells = Rc::new(match derived {
            None => self.lift(layer),
            Some(d) => {
                let mut finer = levels.to_vec();
                finer[d] -= 1;
                let children = self.layer(layer, &finer);
                self.halve(layer, d, &children)
            }
        });
        self.computed.insert(key, Rc::clone(&cells));
        cells
    }

    fn lift(&self, layer: &Aggregation) -> Cells {
        let (dtype, full) = (self.dtype(Some(layer)), self.full());
        let lift = |(place, &value): (&Place, &f64)| {
            let value = match layer {
                Aggregation::Count if dtype == DType::U64 => 1.0,
                Aggregation::Count => full,
                Aggregation::Sum if dtype == DType::F64 => value * full,
                _ => round(dtype, value),
            };
            (place.clone(), (value, full))
        };
        self.cells.iter().map(lift).collect()
    }

    fn halve(&self, layer: &Aggregation, dimension: usize, children: &Cells) -> Cells {
        let axes = self.dims[dimension].axes.clone();
        let mut families: BTreeMap<Place, Vec<(bool, f64, f64)>> = BTreeMap::new();
        for (place, &(value, weight)) in children {
            let mut parent = place.clone();
            axes.clone().for_each(|axis| parent[axis] >>= 1);
            let first = axes.clone().all(|axis| place[axis] & 1 == 0);
            families
                .entry(parent)
                .or_default()
                .push((first, value, weight));
        }
        let dtype = self.dtype(Some(layer));
        let mut cells = Cells::new();
        for (place, family) in families {
            let values = family.iter().map(|child| child.1);
            let weight = family.iter().fold(0.0, |sum, child| sum + child.2);
            let value = match layer {
                Aggregation::Mean => Some(round(
                    dtype,
                    family
                        .iter()
                        .fold(0.0, |sum, (_, value, weight)| sum + value * weight)
                        / weight,
                )),
                Aggregation::Min => values.reduce(|a, b| if b < a { b } else { a }),
                Aggregation::Max => values.reduce(|a, b| if b > a { b } else { a }),
                Aggregation::Sum | Aggregation::Count => {
                    Some(values.fold(0.0, |sum, value| sum + value))
                }
                Aggregation::Sample => family.iter().find(|child| child.0).map(|child| child.1),
                other => panic!("the oracle knows no {other}"),
            };
            if let Some(value) = value {
                cells.insert(place, (value, weight));
            }
        }
        cells
    }

    /// The base cells under each cell of some levels, in the order in which a cascade meets them:
    /// by the dimension aggregated last, then by the one before it.
    pub fn families(&mut self, levels: &[i8]) -> Rc<Families> {
        if let Some(families) = self.grouped.get(levels) {
            return Rc::clone(families);
        }
        if self.ordered.is_empty() {
            let mut ordered: Vec<(Place, f64)> = self
                .cells
                .iter()
                .map(|(place, value)| (place.clone(), *value))
                .collect();
            ordered.sort_by_cached_key(|(place, _)| self.path(place));
            self.ordered = ordered;
        }
        let mut families = Families::new();
        for (place, value) in &self.ordered {
            let mut parent = place.clone();
            for (d, dim) in self.dims.iter().enumerate() {
                dim.axes
                    .clone()
                    .for_each(|axis| parent[axis] >>= levels[d] - self.ground[d]);
            }
            families
                .entry(parent)
                .or_default()
                .push((place.clone(), *value));
        }
        let families = Rc::new(families);
        self.grouped.insert(levels.to_vec(), Rc::clone(&families));
        families
    }

    /// Where a cell comes along each levelled dimension, the one that is aggregated last first:
    /// halves before halves of halves.
    fn path(&self, place: &Place) -> Vec<u128> {
        let code = |d: &usize| {
            let bits = (0..48).rev().flat_map(|bit| {
                self.dims[*d]
                    .axes
                    .clone()
                    .map(move |axis| place[axis] >> bit & 1)
            });
            bits.fold(0_u128, |code, bit| code << 1 | u128::from(bit == 1))
        };
        self.order.iter().rev().map(code).collect()
    }

    /// A layer by its definition, for those whose meaning does not depend on a cascade.
    fn dense(&mut self, layer: &Aggregation, levels: &[i8]) -> Option<Cells> {
        let of_family: Box<OfFamily> = match layer {
            Aggregation::Variance => Box::new(variance),
            Aggregation::Std => Box::new(|family| variance(family).sqrt()),
            Aggregation::Mode { .. } => Box::new(|family| mode(family).0),
            Aggregation::First { dimension } | Aggregation::Last { dimension } => {
                let d = self.schema.structure().dimension(dimension).unwrap();
                let axis = self.dims[d].axes.start;
                let forward = self.schema.structure().dimensions()[d].axes()[0].step() > 0.0;
                let high = forward == matches!(layer, Aggregation::Last { .. });
                Box::new(move |family| {
                    let nearest = family
                        .iter()
                        .map(|(place, _)| if high { -place[axis] } else { place[axis] })
                        .min();
                    let at = family.iter().find(|(place, _)| {
                        Some(if high { -place[axis] } else { place[axis] }) == nearest
                    });
                    at.unwrap().1
                })
            }
            _ => return None,
        };
        let full = self.full();
        let cell = |(place, family): (&Place, &Vec<(Place, f64)>)| {
            (
                place.clone(),
                (of_family(family), family.len() as f64 * full),
            )
        };
        Some(self.families(levels).iter().map(cell).collect())
    }

    /// How far a value may be from the one expected, where it need not be that bit for bit.
    pub fn slack(&self, layer: Option<&Aggregation>) -> Option<f64> {
        let sizes = || {
            self.cells
                .values()
                .fold(0.0, |most: f64, value| most.max(value.abs()))
        };
        match layer {
            Some(Aggregation::Variance) => Some(sizes() * sizes() * 1e-12),
            // The square roots of two numbers that differ by so much.
            Some(Aggregation::Std) => Some(sizes() * 1e-6),
            _ => None,
        }
    }

    /// The cells of a window as a read must give them, in C order.
    pub fn expected(
        &mut self,
        layer: Option<&Aggregation>,
        levels: &[i8],
        window: &Window,
    ) -> Vec<f64> {
        let fill = self.fill(layer);
        self.held(layer, levels, window)
            .into_iter()
            .map(|value| value.unwrap_or(fill))
            .collect()
    }

    /// The same of those that hold data.
    pub fn held(
        &mut self,
        layer: Option<&Aggregation>,
        levels: &[i8],
        window: &Window,
    ) -> Vec<Option<f64>> {
        let zeros = self.zeros(levels);
        let cells = layer.map(|layer| self.layer(layer, levels));
        let place = |index: Vec<i64>| -> Place {
            (0..self.rank())
                .map(|axis| window.start()[axis] + index[axis] + zeros[axis])
                .collect()
        };
        let up = self.ups(levels);
        let value = |place: Place| match &cells {
            // All cells of the ground in a cell of the finest base level are alike.
            None => self
                .cells
                .get(
                    &place
                        .iter()
                        .zip(&up)
                        .map(|(at, up)| at << up)
                        .collect::<Place>(),
                )
                .copied(),
            Some(cells) => cells.get(&place).map(|cell| cell.0),
        };
        indices(&window.shape())
            .map(|index| value(place(index)))
            .collect()
    }

    /// The box of the world that a window of a level covers, from the positions of its edges on the
    /// line of level 0.
    pub fn extent(&self, levels: &[i8], window: &Window) -> Vec<(f64, f64)> {
        let zeros = self.zeros(levels);
        let mut extent = Vec::new();
        for (d, (dimension, dim)) in self
            .schema
            .structure()
            .dimensions()
            .iter()
            .zip(&self.dims)
            .enumerate()
        {
            for (axis, at) in dimension.axes().iter().zip(dim.axes.clone()) {
                let edge = |cell: i64| {
                    let zero_at_0 = if dim.fixed {
                        0.0
                    } else {
                        zero(i64::from(axis.chunk()), 0) as f64
                    };
                    let line = (cell + zeros[at]) as f64 * f64::from(levels[d]).exp2();
                    axis.origin() + (line - zero_at_0) * axis.step()
                };
                let first = window.start()[at];
                let (a, b) = (
                    edge(first),
                    edge(first + i64::try_from(window.shape()[at]).unwrap()),
                );
                extent.push((a.min(b), a.max(b)));
            }
        }
        extent
    }

    /// Proves the cascade at some levels against the base itself: exact where it must be, else
    /// within the bound of invariant 7.
    pub fn prove(&mut self, levels: &[i8]) {
        let families = self.families(levels);
        let steps: f64 = levels
            .iter()
            .zip(&self.ground)
            .map(|(level, base)| f64::from(level - base))
            .sum();
        for layer in self.schema.aggregators().to_vec() {
            if self.dense(&layer, levels).is_some() {
                continue;
            }
            let cascade = self.layer(&layer, levels);
            let dtype = self.dtype(Some(&layer));
            if layer != Aggregation::Sample {
                assert!(
                    cascade.keys().eq(families.keys()),
                    "{layer}: a cell is valid where any base cell under it is"
                );
            }
            for (place, family) in families.iter() {
                let cascaded = cascade.get(place).map(|cell| cell.0);
                let values = || family.iter().map(|(_, value)| *value);
                let sizes = values().fold(0.0, |most: f64, value| most.max(value.abs()));
                let area = self.full();
                let sum: f64 = values().sum();
                let (exact, slack) = match layer {
                    Aggregation::Mean if dtype == DType::F32 => (
                        Some(sum / family.len() as f64),
                        (steps + 1.0) * (-24_f64).exp2() * sizes,
                    ),
                    Aggregation::Mean => (
                        Some(sum / family.len() as f64),
                        (steps + 1.0) * (-48_f64).exp2() * sizes,
                    ),
                    Aggregation::Min => (values().reduce(f64::min), 0.0),
                    Aggregation::Max => (values().reduce(f64::max), 0.0),
                    Aggregation::Sum if dtype == DType::F64 => {
                        let slack = if self.schema.dtype().is_float() {
                            1e-13 * sizes * family.len() as f64 * area
                        } else {
                            0.0
                        };
                        (Some(sum * area), slack)
                    }
                    Aggregation::Sum => (Some(sum), 0.0),
                    Aggregation::Count if dtype == DType::U64 => (Some(family.len() as f64), 0.0),
                    Aggregation::Count => (Some(family.len() as f64 * area), 0.0),
                    _ => {
                        let mut corner = place.clone();
                        for (d, dim) in self.dims.iter().enumerate() {
                            dim.axes
                                .clone()
                                .for_each(|axis| corner[axis] <<= levels[d] - self.ground[d]);
                        }
                        (self.cells.get(&corner).copied(), 0.0)
                    }
                };
                let close = match (cascaded, exact) {
                    (Some(a), Some(b)) => (a - b).abs() <= slack,
                    (a, b) => a == b,
                };
                assert!(
                    close,
                    "{layer} at {levels:?} {place:?}: {cascaded:?} is not {exact:?} within {slack}"
                );
            }
        }
    }
}

/// Takes a box off the box of all that was put, where it cuts off one side.
pub fn shrunk(bounds: &mut Option<Vec<(i64, i64)>>, cut: &[(i64, i64)]) {
    let Some(held) = bounds else { return };
    let left: Vec<usize> = (0..held.len())
        .filter(|&axis| cut[axis].0 > held[axis].0 || cut[axis].1 < held[axis].1)
        .collect();
    match left.as_slice() {
        [] => *bounds = None,
        &[axis] if cut[axis].0 <= held[axis].0 => held[axis].0 = held[axis].0.max(cut[axis].1 + 1),
        &[axis] if cut[axis].1 >= held[axis].1 => held[axis].1 = held[axis].1.min(cut[axis].0 - 1),
        _ => {}
    }
}
