//! Where cells lie: those of every level on one line of ground cells an axis, the finest that a
//! history puts.

use gridstone::{Schema, Window};

use crate::check::numbers;

/// Half-open, in ground cells.
pub type Span = (i64, i64);

/// One axis. Of its endless line only some segments are kept: nothing is ever put elsewhere.
#[derive(Clone, Debug)]
pub struct Line {
    pub dimension: usize,
    pub fixed: bool,
    pub chunk: i64,
    pub ground: i8,
    pub segments: Vec<Span>,
    /// How many chunks of level 0 lie before cell 0: a third of all there are.
    origin: i64,
}

impl Line {
    /// How many cells of a level lie before cell 0, counted from the first of the index space.
    fn zero(&self, level: i8) -> i64 {
        let at_level_0 = self.origin * self.chunk;
        if level >= 0 {
            at_level_0 >> level
        } else {
            at_level_0 << -level
        }
    }

    /// The ground cell with which a cell of a level begins; of a level finer than the ground, the
    /// ground cell that holds it.
    pub fn ground_of(&self, level: i8, cell: i64) -> i64 {
        let (up, at) = (level - self.ground, cell + self.zero(level));
        (if up >= 0 { at << up } else { at >> -up }) - self.zero(self.ground)
    }

    /// The cell of a level in which a ground cell lies.
    pub fn cell_of(&self, level: i8, ground: i64) -> i64 {
        ((ground + self.zero(self.ground)) >> (level - self.ground)) - self.zero(level)
    }

    /// The ground cells of some cells of a level.
    pub fn span(&self, level: i8, first: i64, end: i64) -> Span {
        let last = self.ground_of(level, end - 1);
        (
            self.ground_of(level, first),
            if level >= self.ground {
                self.ground_of(level, end)
            } else {
                last + 1
            },
        )
    }

    /// The number of the chunk of a level in which a cell lies, from the first of the index space.
    pub fn chunk_of(&self, level: i8, cell: i64) -> i64 {
        (cell + self.zero(level)).div_euclid(self.chunk)
    }

    /// The first cell of a chunk of a level.
    pub fn first_of(&self, level: i8, chunk: i64) -> i64 {
        chunk * self.chunk - self.zero(level)
    }

    /// The ground cells of a chunk.
    pub fn chunk_span(&self, level: i8, chunk: i64) -> Span {
        let first = self.first_of(level, chunk);
        self.span(level, first, first + self.chunk)
    }

    /// The kept cells of a span, by their places among all that are kept.
    pub fn kept(&self, span: Span) -> Vec<usize> {
        let (mut before, mut places) = (0, Vec::new());
        for &(from, to) in &self.segments {
            let (first, end) = (span.0.max(from), span.1.min(to));
            places.extend((first..end).map(|cell| before + usize::try_from(cell - from).unwrap()));
            before += usize::try_from(to - from).unwrap();
        }
        places
    }

    /// How many ground cells are kept.
    pub fn len(&self) -> usize {
        self.segments
            .iter()
            .map(|(from, to)| usize::try_from(to - from).unwrap())
            .sum()
    }
}

/// All axes of a grid.
#[derive(Clone, Debug)]
pub struct Space {
    pub lines: Vec<Line>,
    pub refinable: Option<usize>,
    /// The size of a ground cell in cells of level 0.
    pub area: f64,
}

impl Space {
    pub fn new(schema: &Schema, ground: &[i8], segments: &[Vec<Span>]) -> Self {
        let structure = schema.structure();
        let line = |(number, axis): (usize, &gridstone::Axis)| {
            let dimension = structure.dimension_of(number);
            let (fixed, irregular) = (
                structure.dimensions()[dimension].is_fixed(),
                structure.dimensions()[dimension].is_irregular(),
            );
            Line {
                dimension,
                fixed,
                chunk: i64::from(axis.chunk()),
                ground: ground[dimension],
                segments: segments[number].clone(),
                origin: if fixed || irregular { 0 } else { (1 << 40) / 3 },
            }
        };
        let lines: Vec<Line> = structure.axes().enumerate().map(line).collect();
        let area = lines
            .iter()
            .map(|line| f64::from(line.ground).exp2())
            .product();
        Self {
            lines,
            refinable: structure.refinable(),
            area,
        }
    }

    /// The ground cells of a window.
    pub fn spans(&self, window: &Window) -> Vec<Span> {
        let levels = numbers(&window.levels(self.dimensions()));
        let (start, end) = (window.start(), window.end());
        self.lines
            .iter()
            .enumerate()
            .map(|(a, line)| line.span(levels[line.dimension], start[a], end[a]))
            .collect()
    }

    pub fn dimensions(&self) -> usize {
        self.lines.last().map_or(0, |line| line.dimension + 1)
    }

    /// Every chunk of its levels that a window touches, by its numbers.
    pub fn chunks(&self, window: &Window) -> Vec<Vec<i64>> {
        let levels = numbers(&window.levels(self.dimensions()));
        let (start, end) = (window.start(), window.end());
        let of = |(a, line): (usize, &Line)| {
            let level = levels[line.dimension];
            (line.chunk_of(level, start[a])..=line.chunk_of(level, end[a] - 1))
                .collect::<Vec<i64>>()
        };
        product(&self.lines.iter().enumerate().map(of).collect::<Vec<_>>())
    }
}

/// Every choice of one from each list, the last list running fastest.
pub fn product(lists: &[Vec<i64>]) -> Vec<Vec<i64>> {
    lists.iter().fold(vec![Vec::new()], |heads, list| {
        heads
            .iter()
            .flat_map(|head| list.iter().map(|&last| [head.as_slice(), &[last]].concat()))
            .collect()
    })
}
