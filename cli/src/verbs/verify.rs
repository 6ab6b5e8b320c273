//! stub
use crate::{context::Context, failure::Result, render::Outcome};
#[derive(clap::Args)]
pub(crate) struct Args {}
pub(crate) fn run(_context: &Context, _args: &Args) -> Result<Outcome> { Err(crate::failure::Failure::failed("not yet")) }
