output "tents" {
  description = "What was pitched"
  value       = terraform_data.tent[*].output
}
