-- Claims due jobs (claim.lua).
--
-- KEYS  1 queue (zset)  2 bell (list)
-- ARGV  1 most to claim  2 ms a claim holds  3 prefix of in-progress keys  4 of jobs  5 of tries
-- Reply as claim
-- include: claim
return claim(KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5])
