output "queue_urls" {
  description = "Where messages are sent to, by queue name."
  value       = { for name, queue in aws_sqs_queue.work : name => queue.id }
}

output "documents_bucket" {
  description = "The bucket that documents are stored in."
  value       = aws_s3_bucket.documents.id
}

output "orders_table" {
  description = "The table of orders."
  value       = aws_dynamodb_table.orders.name
}
