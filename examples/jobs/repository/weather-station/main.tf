variable "metres" {
  description = "How high the station stands"
  type        = number
}

resource "terraform_data" "station" {
  input = "weather station at ${var.metres} m"
}

output "station" {
  description = "The station"
  value       = terraform_data.station.output
}
