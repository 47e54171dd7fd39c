# A main.tf beside config.json wins over the template that config.json names.

variable "workspace_name" {
  description = "Passed by Piton: the name of the workspace's directory"
  type        = string
  default     = "lhotse"
}

resource "terraform_data" "igloo" {
  input = "${var.workspace_name} igloo"
}

output "shelter" {
  description = "What was built"
  value       = terraform_data.igloo.output
}
