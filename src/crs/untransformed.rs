//! What stands for the way between systems in a build that knows none.

/// From one system to another: there is none without the feature `crs`.
#[derive(Clone, Debug)]
pub(crate) enum Transformation {}

impl Transformation {
    /// Says what is missing.
    pub(crate) fn between(_: &str, _: &str) -> Result<Self, String> {
        Err("this gridstone is built without the feature `crs`".to_owned())
    }

    /// The coordinates in the other system.
    pub(crate) fn forward(&self, _: [f64; 2]) -> Option<[f64; 2]> {
        match *self {}
    }

    /// How far x goes once round the globe in the other system.
    pub(crate) fn once_round(&self) -> Option<f64> {
        match *self {}
    }
}
