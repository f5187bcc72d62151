//! The documents that describe a hierarchy.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Format;
use super::blosc;
use super::coordinates::ElementKind;
use super::layout::Layout;
use super::place::Role;
use crate::adapter::cf;
use crate::array::{Cells, DType};
use crate::kernel::Aggregation;
use crate::reader::Layer;
use crate::store::Grid;

/// A group or an array.
struct Node {
    path: String,
    attributes: Map<String, Value>,
    array: Option<ArrayNode>,
}

struct ArrayNode {
    shape: Vec<u64>,
    chunk: Vec<u64>,
    element: Element,
    /// What stands in elements without data.
    fill: Value,
    /// Whether no element with data has it.
    marks: bool,
    dimensions: Vec<String>,
}

/// What the elements of an array are, and how its chunks are kept.
enum Element {
    /// Cells, compressed.
    Cells(DType),
    /// Numbers, as they are.
    Plain(DType),
    Text,
}

/// All documents, by key.
pub(super) fn documents(grid: &Grid, layout: &Layout, format: Format) -> BTreeMap<String, Vec<u8>> {
    let nodes = nodes(grid, layout);
    match format {
        Format::V3 => documents_v3(&nodes),
        Format::V2 => documents_v2(&nodes),
    }
}

fn nodes(grid: &Grid, layout: &Layout) -> Vec<Node> {
    let mut nodes = vec![Node {
        path: String::new(),
        attributes: root(grid, layout),
        array: None,
    }];
    for level in 0..layout.levels.len() {
        let mut attributes = layout.spatial(level);
        attributes.insert("zarr_conventions".to_owned(), layout.conventions(false));
        nodes.push(Node {
            path: level.to_string(),
            attributes,
            array: None,
        });
        nodes.extend(arrays(grid, layout, level));
    }
    nodes
}

fn arrays(grid: &Grid, layout: &Layout, level: usize) -> Vec<Node> {
    let axis_names: Vec<String> = layout
        .axes
        .iter()
        .map(|axis| axis.axis.name().to_owned())
        .collect();
    let shape = layout.levels[level].shape.clone();
    let chunk: Vec<u64> = layout.axes.iter().map(|axis| axis.chunk).collect();
    let cells = |name: &str,
                 dtype: DType,
                 (fill, marks): (Value, bool),
                 attributes: Map<String, Value>| Node {
        path: format!("{level}/{name}"),
        attributes,
        array: Some(ArrayNode {
            shape: shape.clone(),
            chunk: chunk.clone(),
            element: Element::Cells(dtype),
            fill,
            marks,
            dimensions: axis_names.clone(),
        }),
    };
    let mut nodes = vec![cells(
        &layout.name,
        layout.dtype,
        (value(&layout.fill), layout.marks),
        variable(grid, layout, level),
    )];
    if layout.masked {
        let about = json!({
            "long_name": format!("whether a cell of {} holds data", layout.name),
            "flag_values": [0, 1],
            "flag_meanings": "no_data data",
        });
        let about = about.as_object().cloned().unwrap_or_default();
        nodes.push(cells(
            &format!("{}_valid", layout.name),
            DType::U8,
            (json!(0), false),
            about,
        ));
    }
    for (axis, name) in axis_names.iter().enumerate() {
        let len = layout.levels[level].shape[axis];
        let element = || match layout.kind(level, axis) {
            ElementKind::Whole => Element::Plain(DType::I64),
            ElementKind::Number => Element::Plain(DType::F64),
            ElementKind::Text => Element::Text,
        };
        nodes.push(line(
            format!("{level}/{name}"),
            (vec![len], vec![name.clone()]),
            element(),
            about(grid, layout, axis),
        ));
        if layout.has_bounds(axis) {
            let dimensions = vec![name.clone(), "bounds".to_owned()];
            nodes.push(line(
                format!("{level}/{name}_bnds"),
                (vec![len, 2], dimensions),
                element(),
                Map::new(),
            ));
        }
    }
    if let Some(mapping) = layout.grid_mapping(level) {
        let place = (Vec::new(), Vec::new());
        nodes.push(line(
            format!("{level}/spatial_ref"),
            place,
            Element::Plain(DType::I32),
            mapping,
        ));
    }
    nodes
}

/// An array of one chunk.
fn line(
    path: String,
    (shape, dimensions): (Vec<u64>, Vec<String>),
    element: Element,
    attributes: Map<String, Value>,
) -> Node {
    let array = ArrayNode {
        chunk: shape.clone(),
        shape,
        fill: element.nothing(),
        marks: false,
        element,
        dimensions,
    };
    Node {
        path,
        attributes,
        array: Some(array),
    }
}

/// A cell as JSON has it.
fn value(cell: &Cells) -> Value {
    let number = cell.number(0);
    let exact = number.whole().filter(|_| !cell.dtype().is_float());
    match exact.and_then(whole) {
        Some(exact) => exact,
        None if number.is_nan() => json!("NaN"),
        None => json!(number.to_f64()),
    }
}

/// A whole number as JSON has it, if it does.
fn whole(number: i128) -> Option<Value> {
    let signed = i64::try_from(number).ok().map(|number| json!(number));
    signed.or_else(|| u64::try_from(number).ok().map(|number| json!(number)))
}

/// The attributes of the coordinates along an axis.
fn about(grid: &Grid, layout: &Layout, axis: usize) -> Map<String, Value> {
    let name = layout.axes[axis].axis.name();
    let measures = cf::measures(grid.schema().attributes(), name).into_iter();
    let mut all = layout.axis_attributes(axis);
    all.extend(measures.map(|(name, value)| (name.to_owned(), json!(value))));
    all
}

/// The attributes of the array of cells.
fn variable(grid: &Grid, layout: &Layout, level: usize) -> Map<String, Value> {
    let mut found: Map<String, Value> = grid
        .schema()
        .attributes()
        .iter()
        .filter(|(name, _)| *name != cf::SINGLES)
        .map(|(name, value)| {
            let numbers = cf::flags(name, value).unwrap_or_default();
            let numbers: Option<Vec<Value>> = numbers.into_iter().map(whole).collect();
            let numbers = numbers.filter(|numbers| !numbers.is_empty());
            (
                name.clone(),
                numbers.map_or_else(|| json!(value), Value::Array),
            )
        })
        .collect();
    if let Some(unit) = grid.schema().unit().filter(|_| layout.layer.keeps_unit()) {
        found.insert("units".to_owned(), json!(unit));
    }
    if let (Layer::Aggregate(aggregation), Some(_)) = (&layout.layer, layout.plane()) {
        found.extend(
            cf::cell_method(aggregation)
                .map(|method| ("cell_methods".to_owned(), json!(format!("area: {method}")))),
        );
    }
    if layout.grid_mapping(level).is_some() {
        found.insert("grid_mapping".to_owned(), json!("spatial_ref"));
    }
    if layout.masked {
        let name = format!("{}_valid", layout.name);
        found.insert("ancillary_variables".to_owned(), json!(name));
    }
    // NaN needs no word.
    if layout.marks && !layout.dtype.is_float() {
        found.insert("_FillValue".to_owned(), value(&layout.fill));
    }
    found.extend(layout.legacy_crs().map(|crs| ("_CRS".to_owned(), crs)));
    found.extend(layout.spatial(level));
    found.insert("zarr_conventions".to_owned(), layout.conventions(false));
    found
}

/// The attributes of the root: how levels follow each other.
fn root(grid: &Grid, layout: &Layout) -> Map<String, Value> {
    let method = match &layout.layer {
        Layer::Base => "nearest".to_owned(),
        Layer::Aggregate(Aggregation::Mean) => "average".to_owned(),
        Layer::Aggregate(Aggregation::Sample) => "nearest".to_owned(),
        Layer::Aggregate(aggregation) => aggregation.to_string(),
    };
    let entry = |level: usize| {
        let scale: Vec<f64> = (0..layout.axes.len())
            .map(|axis| {
                if level > 0 && layout.coarsening.contains(&axis) {
                    2.0
                } else {
                    1.0
                }
            })
            .collect();
        let mut entry = json!({
            "asset": level.to_string(),
            "transform": { "scale": scale, "translation": vec![0.0; scale.len()] },
        });
        if let (Some([y, x]), Some(affine)) = (layout.plane(), layout.affine(level)) {
            let shape = &layout.levels[level].shape;
            entry["spatial:shape"] = json!([shape[y], shape[x]]);
            entry["spatial:transform"] = json!(affine);
        }
        if level > 0 {
            entry["derived_from"] = json!((level - 1).to_string());
        }
        entry
    };
    let entries: Vec<Value> = (0..layout.levels.len()).map(entry).collect();
    let mut found = layout.spatial(0);
    found.insert("zarr_conventions".to_owned(), layout.conventions(true));
    let multiscales = json!({ "layout": entries, "resampling_method": method });
    found.insert("multiscales".to_owned(), multiscales);
    found.insert("title".to_owned(), json!(grid.name()));
    found.insert("Conventions".to_owned(), json!("CF-1.11"));
    found.extend(ome(layout).map(|ome| ("ome".to_owned(), ome)));
    found
}

/// What readers of OME-NGFF 0.5 want, where the axes are at most a time, a channel and space.
fn ome(layout: &Layout) -> Option<Value> {
    let [y, x] = layout.plane()?;
    let kind = |axis: usize| match layout.role(axis) {
        Role::Time => Some("time"),
        Role::Y | Role::X => Some("space"),
        Role::Other => layout.structure.dimensions()[layout.structure.dimension_of(axis)]
            .is_fixed()
            .then_some("channel"),
    };
    let kinds = (0..layout.axes.len())
        .map(kind)
        .collect::<Option<Vec<_>>>()?;
    let order = ["time", "channel", "space", "space"];
    let mut rest = order.iter();
    if x + 1 != kinds.len()
        || y + 1 != x
        || !kinds.iter().all(|kind| rest.any(|known| known == kind))
    {
        return None;
    }
    let axes: Vec<Value> = kinds
        .iter()
        .zip(&layout.axes)
        .map(|(kind, axis)| json!({ "name": axis.axis.name(), "type": kind }))
        .collect();
    let of_level = |level: usize| {
        let factor =
            |axis: usize| layout.levels[level].levels[layout.structure.dimension_of(axis)].scale();
        let step = |axis: usize| match kinds[axis] {
            "space" => layout.axes[axis].axis.step().abs() * factor(axis),
            _ => 1.0,
        };
        let offset = |axis: usize| match kinds[axis] {
            "space" => (step(axis) - layout.line(0, axis).1.abs()) / 2.0,
            _ => 0.0,
        };
        let scale: Vec<f64> = (0..kinds.len()).map(step).collect();
        let translation: Vec<f64> = (0..kinds.len()).map(offset).collect();
        json!({
            "path": format!("{level}/{}", layout.name),
            "coordinateTransformations": [
                { "type": "scale", "scale": scale },
                { "type": "translation", "translation": translation },
            ],
        })
    };
    let datasets: Vec<Value> = (0..layout.levels.len()).map(of_level).collect();
    let multiscale = json!({ "name": layout.name, "axes": axes, "datasets": datasets });
    Some(json!({ "version": "0.5", "multiscales": [multiscale] }))
}

fn text(document: &Value) -> Vec<u8> {
    format!("{document:#}").into_bytes()
}

/// A key in a folder.
fn within(folder: &str, key: &str) -> String {
    if folder.is_empty() {
        key.to_owned()
    } else {
        format!("{folder}/{key}")
    }
}

/// The nodes below a group, by their paths from it on.
fn below<'a>(nodes: &'a [Node], group: &'a str) -> impl Iterator<Item = (&'a str, &'a Node)> {
    nodes.iter().filter_map(move |node| {
        let rest = node.path.strip_prefix(group)?;
        let rest = if group.is_empty() {
            rest
        } else {
            rest.strip_prefix('/')?
        };
        (!rest.is_empty()).then_some((rest, node))
    })
}

fn documents_v3(nodes: &[Node]) -> BTreeMap<String, Vec<u8>> {
    let document = |node: &Node| {
        let mut document = node.v3();
        if node.array.is_none() {
            let all: Map<String, Value> = below(nodes, &node.path)
                .map(|(path, node)| (path.to_owned(), node.v3()))
                .collect();
            document["consolidated_metadata"] =
                json!({ "kind": "inline", "must_understand": false, "metadata": all });
        }
        (within(&node.path, "zarr.json"), text(&document))
    };
    nodes.iter().map(document).collect()
}

fn documents_v2(nodes: &[Node]) -> BTreeMap<String, Vec<u8>> {
    let mut documents = BTreeMap::new();
    for node in nodes {
        for (key, document) in node.v2() {
            documents.insert(within(&node.path, key), text(&document));
        }
        if node.array.is_none() {
            let own = node
                .v2()
                .into_iter()
                .map(|(key, document)| (key.to_owned(), document));
            let others = below(nodes, &node.path).flat_map(|(path, node)| {
                node.v2()
                    .into_iter()
                    .map(move |(key, document)| (within(path, key), document))
            });
            let all: Map<String, Value> = own.chain(others).collect();
            let document = json!({ "zarr_consolidated_format": 1, "metadata": all });
            documents.insert(within(&node.path, ".zmetadata"), text(&document));
        }
    }
    documents
}

impl Node {
    fn v3(&self) -> Value {
        let Some(array) = &self.array else {
            return json!({
                "zarr_format": 3,
                "node_type": "group",
                "attributes": self.attributes,
            });
        };
        json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": array.shape,
            "data_type": array.element.name_v3(),
            "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": array.chunk } },
            "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
            "fill_value": array.fill,
            "codecs": array.element.codecs(),
            "dimension_names": array.dimensions,
            "attributes": self.attributes,
        })
    }

    fn v2(&self) -> Vec<(&'static str, Value)> {
        let Some(array) = &self.array else {
            let group = json!({ "zarr_format": 2 });
            return vec![(".zgroup", group), (".zattrs", json!(self.attributes))];
        };
        let mut attributes = self.attributes.clone();
        // Of v2 readers take the fill value of the array.
        attributes.remove("_FillValue");
        attributes.insert("_ARRAY_DIMENSIONS".to_owned(), json!(array.dimensions));
        let document = json!({
            "zarr_format": 2,
            "shape": array.shape,
            "chunks": array.chunk,
            "dtype": array.element.name_v2(),
            "compressor": array.element.compressor(),
            "fill_value": if array.marks { array.fill.clone() } else { Value::Null },
            "order": "C",
            "filters": array.element.filters(),
            "dimension_separator": "/",
        });
        vec![(".zarray", document), (".zattrs", json!(attributes))]
    }
}

impl Element {
    fn name_v3(&self) -> String {
        match self {
            Self::Cells(dtype) | Self::Plain(dtype) => dtype.name().to_owned(),
            Self::Text => "string".to_owned(),
        }
    }

    fn name_v2(&self) -> String {
        let (Self::Cells(dtype) | Self::Plain(dtype)) = self else {
            return "|O".to_owned();
        };
        let kind = match (dtype.is_float(), dtype.is_signed()) {
            (true, _) => 'f',
            (false, true) => 'i',
            (false, false) => 'u',
        };
        let order = if dtype.size() == 1 { '|' } else { '<' };
        format!("{order}{kind}{}", dtype.size())
    }

    /// A value that stands for nothing.
    fn nothing(&self) -> Value {
        match self {
            Self::Cells(dtype) | Self::Plain(dtype) if dtype.is_float() => json!(0.0),
            Self::Cells(_) | Self::Plain(_) => json!(0),
            Self::Text => json!(""),
        }
    }

    fn codecs(&self) -> Value {
        let bytes = |dtype: &DType| match dtype.size() {
            1 => json!({ "name": "bytes" }),
            _ => json!({ "name": "bytes", "configuration": { "endian": "little" } }),
        };
        match self {
            Self::Cells(dtype) => {
                let blosc = json!({
                    "name": "blosc",
                    "configuration": {
                        "typesize": dtype.size(),
                        "cname": "zstd",
                        "clevel": blosc::LEVEL,
                        "shuffle": if dtype.size() > 1 { "shuffle" } else { "noshuffle" },
                        "blocksize": 0,
                    },
                });
                json!([bytes(dtype), blosc])
            }
            Self::Plain(dtype) => json!([bytes(dtype)]),
            Self::Text => json!([{ "name": "vlen-utf8" }]),
        }
    }

    fn compressor(&self) -> Value {
        match self {
            Self::Cells(dtype) => json!({
                "id": "blosc",
                "cname": "zstd",
                "clevel": blosc::LEVEL,
                "shuffle": u8::from(dtype.size() > 1),
                "blocksize": 0,
            }),
            Self::Plain(_) | Self::Text => Value::Null,
        }
    }

    fn filters(&self) -> Value {
        match self {
            Self::Text => json!([{ "id": "vlen-utf8" }]),
            Self::Cells(_) | Self::Plain(_) => Value::Null,
        }
    }
}
