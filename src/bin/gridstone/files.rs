//! Files that become a grid's cells: the options that `import` and `plan` share.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::args;
use super::naming::TimePattern;
use super::terminal::Terminal;
use super::text;
use super::time::{Along, Instant as Moment};
use gridstone::adapter::netcdf::{self, VariableSource};
use gridstone::adapter::raster::{self, RasterAxes, RasterFile, RasterSource, ResampledSource};
use gridstone::adapter::source::{self, Plan, Priority};
use gridstone::adapter::text::quoted;
use gridstone::{Grid, Level, Levels, Overlap, Resampling, Structure, Window};

#[derive(Args, Debug)]
pub(super) struct Files {
    /// The files, later ones over earlier ones
    #[arg(required_unless_present = "files_from", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A list of further files: a text with one a line, or - for standard input
    #[arg(long, value_name = "LIST")]
    files_from: Option<PathBuf>,
    /// Which of files that overlap is on top: order (the one that is named later), newest (by the
    /// time of the file), or finest (by its own cells; those of several levels may then come
    /// together)
    #[arg(long, value_name = "BY", default_value = "order", value_parser = args::parsed::<Priority>)]
    priority: Priority,
    /// The variable of NetCDF files [default: the one that the grid holds, or the only one]
    #[arg(long, value_name = "NAME")]
    variable: Option<String>,
    /// How the names of GeoTIFFs tell their times, in a grid with time: a pattern of strftime like
    /// rain-%Y%m%d.tif, in which * stands for any text
    #[arg(long, value_name = "PATTERN")]
    time_from_name: Option<TimePattern>,
    /// The time of all GeoTIFFs, in a grid with time, like 2020-01-01T06:00Z, or a number of an
    /// axis without times
    #[arg(long, value_name = "TIME", conflicts_with = "time_from_name")]
    at_time: Option<Moment>,
    /// Lay rasters whose cells are not the grid's onto them, those of another coordinate reference
    /// system too (turned ones with the feature `gdal`): nearest, bilinear, cubic, area (the
    /// mean), min, max, mode (the class of the largest part), or sum (totals are divided by area
    /// and kept). Without it they are refused
    #[arg(long, value_name = "R", value_parser = args::parsed::<Resampling>)]
    resampling: Option<Resampling>,
    /// The level that they are laid onto
    /// [default: the first whose cells are at least as fine as theirs]
    #[arg(long, value_name = "L", allow_hyphen_values = true, value_parser = args::level, requires = "resampling")]
    level: Option<Level>,
}

impl Files {
    /// Every file with its place, and the names of those that have none: such a one fails, before
    /// anything is written, or is told and left out.
    pub(super) fn imports(
        &self,
        grid: &Grid,
        overlap: Overlap,
        keep_going: bool,
        terminal: &Terminal,
    ) -> anyhow::Result<(Vec<source::Import>, Vec<String>)> {
        let (mut imports, mut failed) = (Vec::new(), Vec::new());
        // What is noted of one file is not said again of every other. What others cover is a box a
        // level.
        let (mut covered, mut seen): (Vec<Window>, BTreeSet<String>) =
            (Vec::new(), BTreeSet::new());
        let structure = grid.structure();
        let levels = |window: &Window| window.levels(structure.dimensions().len());
        for path in self.named()? {
            let mut import = match self.import(&path, grid, &covered, terminal) {
                Ok(import) => import.over(overlap),
                Err(error) if keep_going => {
                    terminal.error(&error);
                    failed.push(path.display().to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            for note in import
                .notes()
                .into_iter()
                .filter(|note| seen.insert(note.clone()))
            {
                terminal.note(format!("{}: {note}", path.display()));
            }
            import.close();
            for window in &import.footprint().windows {
                match covered
                    .iter_mut()
                    .find(|other| levels(other) == levels(window))
                {
                    Some(other) => *other = structure.union(other, window),
                    None => covered.push(*window),
                }
            }
            imports.push(import);
        }
        self.priority.arrange(&mut imports)?;
        let level = |import: &source::Import| levels_of(structure, import);
        let other = imports.iter().find(|import| {
            self.priority != Priority::Finest && level(import) != level(&imports[0])
        });
        if let Some(other) = other {
            anyhow::bail!(
                "`{}` lands at level {} and `{}` at level {}; import them with `--priority finest`, or one by one, the coarser first",
                other.footprint().name,
                shown(structure, level(other)),
                imports[0].footprint().name,
                shown(structure, level(&imports[0]))
            );
        }
        Ok((imports, failed))
    }

    /// What the cells depend on besides the files.
    pub(super) fn options(&self) -> String {
        format!(
            "{:?}",
            (
                &self.variable,
                &self.time_from_name,
                self.at_time,
                self.resampling,
                self.level
            )
        )
    }

    /// The files of the command line.
    pub(super) fn on_command_line(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether standard input has a list of further ones.
    pub(super) fn are_on_stdin(&self) -> bool {
        let list = self.files_from.as_ref();
        list.is_some_and(|list| list.as_os_str() == "-")
    }

    /// The files that are named, and those of the list. Of a file that is named twice nobody can
    /// tell where it was meant.
    fn named(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files: Vec<(PathBuf, String)> = self
            .files
            .iter()
            .map(|file| (file.clone(), "on the command line".to_owned()))
            .collect();
        if let Some(list) = &self.files_from {
            let (shown, text) = if self.are_on_stdin() {
                ("standard input".to_owned(), text::read_stdin())
            } else {
                (format!("`{}`", list.display()), text::read(list))
            };
            let text = text.with_context(|| format!("there is no list of files in {shown}"))?;
            let lines = text
                .lines()
                .map(str::trim_end)
                .zip(1..)
                .filter(|(line, _)| !line.is_empty());
            files.extend(lines.map(|(line, number)| {
                (PathBuf::from(line), format!("in line {number} of {shown}"))
            }));
            anyhow::ensure!(!files.is_empty(), "{shown} names no file");
        }
        let mut places: HashMap<PathBuf, &str> = HashMap::new();
        for (file, place) in &files {
            let one = file.canonicalize().unwrap_or_else(|_| file.clone());
            if let Some(first) = places.insert(one, place) {
                let places = if first == place {
                    format!("twice {place}")
                } else {
                    format!("twice, {first} and {place}")
                };
                anyhow::bail!(
                    "`{}` is named {places}; take one of them away",
                    file.display()
                );
            }
        }
        Ok(files.into_iter().map(|(file, _)| file).collect())
    }

    /// The place of a file in the grid, where others will be put before it.
    fn import(
        &self,
        path: &Path,
        grid: &Grid,
        others: &[Window],
        terminal: &Terminal,
    ) -> anyhow::Result<source::Import> {
        let name = path.display().to_string();
        let is_directory = path.is_dir();
        let files_of = || {
            format!(
                "`{name}` is a directory; name the files in it, or give --files-from the list that `find {} -name '*.tif'` makes",
                quoted(&name)
            )
        };
        // Some are rasters to GDAL.
        anyhow::ensure!(!is_directory || cfg!(feature = "gdal"), files_of());
        let misfit = || format!("`{name}` cannot be imported");
        let import = if netcdf::is_netcdf(path) {
            if self.resampling.is_some() {
                anyhow::bail!(
                    "`{name}` is NetCDF, and --resampling is for GeoTIFFs; make one of it with `gdal_translate {} FILE.tif`",
                    quoted(&format!("NETCDF:\"{name}\":VARIABLE"))
                );
            }
            let mut choice = netcdf::Choice::of(grid.schema());
            choice.variable.clone_from(&self.variable);
            let field = netcdf::Field::open(path, &choice)?;
            source::Import::new(
                grid,
                VariableSource::placed(grid, &name, field, others).with_context(misfit)?,
            )
        } else {
            let laying = self.resampling.map(|resampling| (resampling, self.level));
            let (file, is_laid) = match raster::open_for(grid, path, laying) {
                Err(error) if is_directory => return Err(error).with_context(files_of),
                opened => opened?,
            };
            file.header()
                .notes
                .iter()
                .for_each(|note| terminal.note(format!("{name}: {note}")));
            let cell = self.cell(path, grid).with_context(misfit)?;
            let fits = is_laid || self.level.is_none() && raster::fits(grid, file.header());
            match laying.filter(|_| !fits) {
                Some(laying) => {
                    let source = ResampledSource::new(grid, &name, file, cell, others, laying);
                    source::Import::new(grid, source.with_context(misfit)?)
                }
                None => source::Import::new(
                    grid,
                    RasterSource::placed(grid, &name, file, cell, others).with_context(misfit)?,
                ),
            }
        };
        import.with_context(misfit)
    }

    /// Where a GeoTIFF lies in time, if that is said.
    fn cell(&self, path: &Path, grid: &Grid) -> anyhow::Result<Option<i64>> {
        let (at, option) = match (&self.time_from_name, self.at_time) {
            (Some(pattern), _) => (Moment::Time(pattern.time(path)?), "--time-from-name"),
            (None, Some(at)) => (at, "--at-time"),
            (None, None) => return Ok(None),
        };
        let along = Along::of(grid, option)?;
        match along.meant(at)? {
            Moment::Time(at) => Ok(Some(netcdf::cell_of(grid.structure(), along.number, at)?)),
            Moment::Number(number) => Ok(Some(number)),
        }
    }
}

/// The cells of all sources.
pub(super) fn cells<'a>(imports: impl IntoIterator<Item = &'a source::Import>) -> u64 {
    let cells = |import: &source::Import| import.footprint().cells;
    imports.into_iter().map(cells).sum()
}

/// The plan of some of the sources, by their numbers, in so many jobs if there are so many parts. A
/// source that the grid refuses is named.
pub(super) fn planned(
    grid: &Grid,
    imports: &[source::Import],
    (numbers, jobs): (&[usize], usize),
) -> anyhow::Result<Plan> {
    let footprints = || numbers.iter().map(|number| imports[*number].footprint());
    let mut plan = Plan::new(grid, footprints(), jobs).map_err(|error| {
        let error = anyhow::Error::from(error);
        match footprints().find(|of| grid.forecast(&of.windows).is_err()) {
            Some(of) => error.context(format!("`{}` cannot be imported", of.name)),
            None => error,
        }
    })?;
    for source in plan.jobs.iter_mut().flat_map(|job| &mut job.sources) {
        *source = numbers[*source];
    }
    Ok(plan)
}

/// The levels at which a source lands.
fn levels_of(structure: &Structure, import: &source::Import) -> Option<Levels> {
    import
        .footprint()
        .windows
        .first()
        .map(|window| window.levels(structure.dimensions().len()))
}

/// The level of the dimension of rows and columns.
fn shown(structure: &Structure, levels: Option<Levels>) -> String {
    let space = RasterAxes::of(structure).map(|axes| axes.space);
    levels
        .zip(space.ok())
        .map_or_else(String::new, |(levels, space)| levels[space].to_string())
}
