output "vpc_id" {
  description = "The VPC that the service runs in."
  value       = module.network.vpc_id
}

output "queue_urls" {
  description = "Where messages are sent to, by queue name."
  value       = module.service.queue_urls
}
