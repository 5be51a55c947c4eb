-- Forgets a token and tells every web process. Not the last one, unless that is meant: without any the door is open.
--
-- KEYS  1 tokens (hash)
-- ARGV  1 digest of the secret  2 '1' if it may be the last  3 channel
-- Reply 'ok', or 'missing', or 'last' and nothing done
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 'missing' end
if ARGV[2] ~= '1' and redis.call('HLEN', KEYS[1]) == 1 then return 'last' end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[3], 'revoked')
return 'ok'
