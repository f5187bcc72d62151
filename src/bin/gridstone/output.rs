//! Files that `read` writes.

use std::path::{Path, PathBuf};

use ndarray::Axis;

use super::figures::Figures;
use gridstone::adapter::quicklook::{self, Look, Ramp};
use gridstone::adapter::raster::Raster;
use gridstone::array::with_view;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputFormat {
    GeoTiff,
    Npy,
    Png,
}

/// A file to write, of the format that its name says.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) path: PathBuf,
    pub(super) format: OutputFormat,
}

impl Output {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy().to_lowercase());
        let format = match extension.as_deref() {
            Some("tif" | "tiff") => OutputFormat::GeoTiff,
            Some("npy") => OutputFormat::Npy,
            Some("png") => OutputFormat::Png,
            _ => {
                return Err(
                    "its name must end in .tif, .npy or .png; `gridstone export` writes .nc and .zarr"
                        .to_owned(),
                );
            }
        };
        Ok(Self { path, format })
    }

    /// See [`check_path`].
    pub(super) fn check(&self, overwrite: bool) -> anyhow::Result<()> {
        check_path(&self.path, overwrite)
    }

    pub(super) fn write_png(
        &self,
        raster: &Raster,
        ramp: Ramp,
        (min, max): (Option<f64>, Option<f64>),
        figures: &Figures,
    ) -> anyhow::Result<()> {
        let bands = if raster.array.shape().len() == 2 {
            1
        } else {
            raster.array.shape()[0]
        };
        anyhow::ensure!(
            bands == 1 || bands == 3,
            "a .png shows one band, or three as red, green and blue, not {bands}; choose one with --band"
        );
        let ends = (min.is_some() || max.is_some())
            .then(|| [min.or(figures.end_f64(0)), max.or(figures.end_f64(1))]);
        let stretch = ends.map(|ends| ends.map(|end| end.unwrap_or(0.0)));
        let mut look = Look {
            ramp,
            stretch,
            valid: raster.valid.clone(),
        };
        let rows = raster.array.shape().len() - 2;
        let turned = || {
            raster
                .reversed
                .into_iter()
                .zip(rows..)
                .filter(|(reversed, _)| *reversed)
                .map(|(_, axis)| Axis(axis))
        };
        turned().for_each(|axis| {
            look.valid
                .iter_mut()
                .for_each(|valid| valid.invert_axis(axis))
        });
        with_view!(Array, &raster.array, |cells| {
            let mut view = cells.view();
            // North is up and east is right, whichever way rows and columns run.
            turned().for_each(|axis| view.invert_axis(axis));
            quicklook::write(&self.path, view, &look)?;
        });
        Ok(())
    }
}

/// Refuses to replace a file without being told to, and to start what cannot be written.
pub(super) fn check_path(path: &Path, overwrite: bool) -> anyhow::Result<()> {
    let shown = path.display();
    anyhow::ensure!(
        overwrite || !path.exists(),
        "`{shown}` exists; replace it with --overwrite"
    );
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    anyhow::ensure!(
        parent.is_none_or(|parent| parent.is_dir()),
        "`{shown}` cannot be written: its directory does not exist"
    );
    Ok(())
}
