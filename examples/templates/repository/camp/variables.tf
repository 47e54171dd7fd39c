variable "workspace_name" {
  description = "Passed by Piton: the name of the workspace's directory"
  type        = string
}

variable "tents" {
  description = "How many tents to pitch"
  type        = number
  default     = 2

  validation {
    condition     = var.tents >= 0
    error_message = "There cannot be less than no tents."
  }
}
