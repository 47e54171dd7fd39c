//! One value for each tool.

use std::ops::{Index, IndexMut};

use crate::tool::Tool;

/// One value for each tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerTool<T> {
    /// OpenTofu's.
    pub tofu: T,
    /// Terraform's.
    pub terraform: T,
}

impl<T> PerTool<T> {
    /// Makes one value for each tool.
    pub fn from_fn(mut make: impl FnMut(Tool) -> T) -> Self {
        PerTool { tofu: make(Tool::OpenTofu), terraform: make(Tool::Terraform) }
    }
}

impl<T> Index<Tool> for PerTool<T> {
    type Output = T;

    fn index(&self, tool: Tool) -> &T {
        match tool {
            Tool::OpenTofu => &self.tofu,
            Tool::Terraform => &self.terraform,
        }
    }
}

impl<T> IndexMut<Tool> for PerTool<T> {
    fn index_mut(&mut self, tool: Tool) -> &mut T {
        match tool {
            Tool::OpenTofu => &mut self.tofu,
            Tool::Terraform => &mut self.terraform,
        }
    }
}
