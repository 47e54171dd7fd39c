variable "workspace_name" {
  description = "Passed by Piton: the name of the workspace's directory"
  type        = string
  default     = "makalu"
}

resource "terraform_data" "base_camp" {
  input = var.workspace_name
}

output "base_camp" {
  description = "Who camps here"
  value       = terraform_data.base_camp.output
}
