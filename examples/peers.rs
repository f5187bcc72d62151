#[path = "../src/cli/bench.rs"]
mod bench;
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let figures = bench::run(args[1].as_ref(), args[2].as_ref(), args.get(3).map_or(256, |c| c.parse().unwrap()))?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
