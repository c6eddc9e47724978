output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "The private subnets, by availability zone."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}

output "security_group_id" {
  description = "The security group that the service's workloads run in."
  value       = aws_security_group.service.id
}
