//! Handles on directories of the target, a bounded number of them open: one cache a thread.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use super::site::{Site, Trouble};
use crate::tree::ROOT;

/// Open handles on directories, by their node.
pub(super) struct Dirs<'s, 'w> {
    site: &'s Site<'w>,
    open: HashMap<u32, (Rc<OwnedFd>, u64)>,
    last: Option<(u32, Rc<OwnedFd>)>,
    root: Rc<OwnedFd>,
    /// Counts uses, to tell the oldest.
    tick: u64,
}

impl<'s, 'w> Dirs<'s, 'w> {
    /// # Errors
    /// There is no descriptor left.
    pub(super) fn new(site: &'s Site<'w>) -> Result<Self, Trouble> {
        let root = site.root.fd.try_clone().map_err(|error| {
            let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::MFILE);
            Trouble::Errno("open the target", errno)
        })?;
        Ok(Self { site, open: HashMap::new(), last: None, root: Rc::new(root), tick: 0 })
    }

    /// The handle of a directory that was made before.
    ///
    /// # Errors
    /// It could not be made, or is no longer what was made.
    pub(super) fn get(&mut self, node: u32) -> Result<Rc<OwnedFd>, Trouble> {
        if let Some((held, fd)) = &self.last
            && *held == node
        {
            return Ok(Rc::clone(fd));
        }
        let fd = self.find(node)?;
        self.last = Some((node, Rc::clone(&fd)));
        Ok(fd)
    }

    fn find(&mut self, node: u32) -> Result<Rc<OwnedFd>, Trouble> {
        if node == ROOT {
            return Ok(Rc::clone(&self.root));
        }
        self.tick += 1;
        if let Some((fd, used)) = self.open.get_mut(&node) {
            *used = self.tick;
            return Ok(Rc::clone(fd));
        }
        let tree = &self.site.work.tree;
        // From the nearest directory that is open.
        let mut above = tree.node(node).map_or(ROOT, |node| node.parent);
        while above != ROOT && !self.open.contains_key(&above) {
            above = tree.node(above).map_or(ROOT, |node| node.parent);
        }
        let base = self.open.get(&above).map_or_else(|| Rc::clone(&self.root), |(fd, _)| Rc::clone(fd));
        let path = tree.path_below(above, node);
        let opened = self.site.root.handle(base.as_fd(), &path).map_err(|errno| {
            if self.site.is_absent_below(node) { Trouble::NoDirectory } else { Trouble::again(errno) }
        })?;
        self.make_room();
        let fd = Rc::new(opened);
        self.open.insert(node, (Rc::clone(&fd), self.tick));
        Ok(fd)
    }

    fn make_room(&mut self) {
        if self.open.len() < self.site.dirs_open_max {
            return;
        }
        let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(node, _)| *node);
        if let Some(oldest) = oldest {
            self.open.remove(&oldest);
        }
    }
}
