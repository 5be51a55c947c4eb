-- Keeps a token and tells every web process that what it knows of tokens is old.
--
-- KEYS  1 tokens (hash)
-- ARGV  1 digest of the secret  2 record as JSON  3 channel
-- Reply 1
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], 'created')
return 1
