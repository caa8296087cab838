/*M!999999\- enable the sandbox mode */
-- MariaDB dump 10.19  Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
DROP TABLE IF EXISTS `t`;
CREATE TABLE `t` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `v` varchar(20) CHARACTER SET latin1 DEFAULT 'it''s',
  `b` bit(9) DEFAULT NULL,
  `c` int(11) GENERATED ALWAYS AS (`id` * 2) VIRTUAL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`v`(5),`b`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
LOCK TABLES `t` WRITE;
INSERT INTO `t` (`id`, `v`, `b`) VALUES (1,'a\'b\\\n',0x0102),(2,NULL,_binary 'x'),(18446744073709551615,'é',b'101');
DELIMITER ;;
CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.v = ';' ;;
DELIMITER ;
-- Dump completed on 2026-11-21
