resource "aws_s3_bucket" "documents" {
  bucket = "${var.name}-documents"

  tags = var.tags
}

resource "aws_s3_bucket_public_access_block" "documents" {
  bucket = aws_s3_bucket.documents.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = var.message_retention_days * 86400

  tags = var.tags
}

resource "aws_sqs_queue" "work" {
  for_each = var.queues

  name                       = "${var.name}-${each.key}"
  message_retention_seconds  = var.message_retention_days * 86400
  visibility_timeout_seconds = each.value.visibility_timeout_seconds

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = each.value.attempts
  })

  tags = var.tags

  lifecycle {
    # The deployment pipeline writes this tag; it says nothing about the infrastructure.
    ignore_changes = [tags["last-deployed"], tags_all["last-deployed"]]
  }
}

resource "aws_dynamodb_table" "orders" {
  name         = "${var.name}-orders"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "order_id"

  attribute {
    name = "order_id"
    type = "S"
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  tags = var.tags
}

resource "aws_ssm_parameter" "payment_api_key" {
  name        = "/${var.name}/payment-api-key"
  description = "Read by the service when it starts"
  type        = "SecureString"
  value       = var.payment_api_key

  tags = var.tags
}

resource "aws_cloudwatch_log_group" "service" {
  name              = "/${var.name}/service"
  retention_in_days = var.log_retention_days

  tags = var.tags
}

resource "aws_iam_role" "service" {
  name = "${var.name}-service"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "service" {
  name = "service"
  role = aws_iam_role.service.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:SendMessage"]
        Resource = [for name in sort(keys(var.queues)) : aws_sqs_queue.work[name].arn]
      },
      {
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
        Resource = [aws_dynamodb_table.orders.arn]
      },
      {
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = ["${aws_s3_bucket.documents.arn}/*"]
      },
      {
        Effect   = "Allow"
        Action   = ["ssm:GetParameter"]
        Resource = [aws_ssm_parameter.payment_api_key.arn]
      },
    ]
  })
}
